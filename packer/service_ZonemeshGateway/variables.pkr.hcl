variable "appliance_name" {
  type    = string
  default = "service_ZonemeshGateway"
}

# Programs of ours in the image, from programs_dir.
variable "programs" {
  type    = list(string)
  default = ["zonemeshd", "zonemesh"]
}

# The systemd unit, from configs_dir.
variable "unit" {
  type    = string
  default = "zonemeshd.service"
}
