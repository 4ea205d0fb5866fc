# The only file with required_plugins: Packer 1.6 has qemu built in and refuses this block.
packer {
  required_version = ">= 1.6.6"

  required_plugins {
    qemu = {
      source  = "github.com/hashicorp/qemu"
      version = "~> 1"
    }
  }
}
