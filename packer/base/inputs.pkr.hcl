# What build.sh tells every build.

variable "input_dir" {
  type        = string
  description = "This folder."
}

variable "output_dir" {
  type        = string
  description = "Working folder of the build."
}

variable "base_image" {
  type        = string
  description = "A one-apps base image, for example debian12.qcow2."
}

variable "one_apps_dir" {
  type        = string
  description = "A checkout of OpenNebula's one-apps: the service framework comes from there."
}

variable "packages_dir" {
  type        = string
  description = "Folder of our Debian packages, without their versions: zonemesh.deb."
}

variable "flower_version" {
  type        = string
  default     = ""
  description = "A Flower of configs/flower; without it the companion's own choice."
}

variable "accelerator" {
  type        = string
  default     = "kvm"
  description = "kvm, or tcg where there is no KVM."
}

variable "headless" {
  type    = bool
  default = true
}
