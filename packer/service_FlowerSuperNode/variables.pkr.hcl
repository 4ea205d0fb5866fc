variable "appliance_name" {
  type    = string
  default = "service_FlowerSuperNode"
}

# Programs of ours in the image, from programs_dir.
variable "programs" {
  type    = list(string)
  default = ["zonemesh-supernode", "zonemesh"]
}

# The systemd unit, from configs_dir.
variable "unit" {
  type    = string
  default = "zonemesh-supernode.service"
}
