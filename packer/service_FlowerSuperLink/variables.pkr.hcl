variable "appliance_name" {
  type    = string
  default = "service_FlowerSuperLink"
}

# Programs of ours in the image, from programs_dir.
variable "programs" {
  type    = list(string)
  default = ["zonemesh-superlink", "zonemesh"]
}

# The systemd unit, from configs_dir.
variable "unit" {
  type    = string
  default = "zonemesh-superlink.service"
}
