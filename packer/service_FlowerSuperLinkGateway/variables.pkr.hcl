variable "appliance_name" {
  type    = string
  default = "service_FlowerSuperLinkGateway"
}

# The Debian packages in the image, from packages_dir: programs, units, users and folders.
variable "packages" {
  type    = list(string)
  default = ["zonemesh", "zonemesh-superlink"]
}

# Virtual size; without one that of the base image. The file system grows with it at each boot.
variable "disk_size" {
  type    = string
  default = "8G"
}
