# The build of every Zonemesh appliance: a base image of OpenNebula's one-apps, its service
# framework, our programs and the appliance's own appliance.sh. What differs is in variables.pkr.hcl.

source "null" "context" {
  communicator = "none"
}

build {
  sources = ["source.null.context"]

  provisioner "shell-local" {
    inline = [
      "mkdir -p ${var.output_dir}-context",
      "${var.input_dir}/gen_context > ${var.output_dir}-context/context.sh",
      "mkisofs -o ${var.output_dir}-context.iso -V CONTEXT -J -R ${var.output_dir}-context",
    ]
  }
}

source "qemu" "appliance" {
  cpus        = 2
  memory      = 2048
  accelerator = var.accelerator

  iso_url      = var.base_image
  iso_checksum = "none"
  headless     = var.headless

  disk_image       = true
  disk_cache       = "unsafe"
  disk_interface   = "virtio"
  net_device       = "virtio-net"
  format           = "qcow2"
  disk_compression = false
  skip_resize_disk = var.disk_size == ""
  disk_size        = var.disk_size == "" ? null : var.disk_size

  output_directory = var.output_dir
  vm_name          = var.appliance_name

  qemuargs = [
    ["-cpu", "max"],
    ["-cdrom", "${var.output_dir}-context.iso"],
    ["-serial", "stdio"],
    # The context of gen_context finds its interface by this address.
    ["-netdev", "user,id=net0,hostfwd=tcp::{{ .SSHHostPort }}-:22"],
    ["-device", "virtio-net-pci,netdev=net0,mac=00:11:22:33:44:55"],
  ]

  ssh_username     = "root"
  ssh_password     = "opennebula"
  ssh_timeout      = "900s"
  shutdown_command = "poweroff"
}

build {
  sources = ["source.qemu.appliance"]

  # Takes back what gen_context opened for the build.
  provisioner "shell" {
    scripts = ["${var.input_dir}/81-configure-ssh.sh"]
  }

  provisioner "shell" {
    inline_shebang = "/bin/bash -e"
    inline = [
      "install -o 0 -g 0 -m u=rwx,g=rx,o=   -d /etc/one-appliance/{,service.d/,lib/}",
      "install -o 0 -g 0 -m u=rwx,g=rx,o=rx -d /opt/one-appliance/{,bin/}",
    ]
  }

  provisioner "file" {
    sources = [
      "${var.one_apps_dir}/appliances/scripts/net-90-service-appliance",
      "${var.one_apps_dir}/appliances/scripts/net-99-report-ready",
    ]
    destination = "/etc/one-appliance/"
  }

  provisioner "file" {
    sources = [
      "${var.one_apps_dir}/appliances/lib/common.sh",
      "${var.one_apps_dir}/appliances/lib/functions.sh",
      "${var.input_dir}/zonemesh.sh",
    ]
    destination = "/etc/one-appliance/lib/"
  }

  provisioner "file" {
    source      = "${var.one_apps_dir}/appliances/service.sh"
    destination = "/etc/one-appliance/service"
  }

  provisioner "file" {
    source      = "${var.input_dir}/appliance.sh"
    destination = "/etc/one-appliance/service.d/appliance.sh"
  }

  provisioner "file" {
    sources     = [for name in var.packages : "${var.packages_dir}/${name}.deb"]
    destination = "/root/"
  }

  provisioner "shell" {
    scripts = ["${var.input_dir}/82-configure-context.sh"]
  }

  provisioner "shell" {
    inline_shebang   = "/bin/bash -e"
    environment_vars = ["ZONEMESH_FLOWER_VERSION=${var.flower_version}"]
    inline = [
      "chmod 0755 /etc/one-appliance/service",
      ". /etc/one-appliance/lib/common.sh",
      ". /etc/one-appliance/lib/zonemesh.sh",
      "zonemesh_install_packages /root/zonemesh*.deb",
      "rm /root/zonemesh*.deb",
      "/etc/one-appliance/service install",
      "sync",
    ]
  }
}
