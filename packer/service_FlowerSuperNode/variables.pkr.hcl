variable "appliance_name" {
  type    = string
  default = "service_FlowerSuperNode"
}

# The Debian package in the image, from packages_dir: programs, unit, users and folders.
variable "package" {
  type    = string
  default = "zonemesh-supernode"
}
