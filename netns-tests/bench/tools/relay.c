/* relay IFNAME PORT REMOTE_IP REMOTE_PORT
 *
 * A tunnel without cryptography or offloads: one thread, one packet per system call. What a
 * userspace tunnel of this naive kind can reach at most. An instrument, not a VPN.
 *
 * A datagram is 16 bytes of header (never filled in), then the packet.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEADER = 16, LARGEST = 65536, BATCH = 64, SOCKET_BUFFER = 4 << 20 };

static int open_tun(const char *name)
{
    struct ifreq request = {0};
    int tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK);

    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    request.ifr_flags = IFF_TUN | IFF_NO_PI;
    if (tun < 0 || ioctl(tun, TUNSETIFF, &request) < 0) {
        perror("relay: TUN");
        exit(1);
    }
    return tun;
}

static int open_socket(const char *port, const char *remote, const char *remote_port)
{
    int size = SOCKET_BUFFER;
    int udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons(atoi(remote_port))};

    inet_pton(AF_INET, remote, &there.sin_addr);
    setsockopt(udp, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    setsockopt(udp, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
    if (bind(udp, (void *)&here, sizeof here) < 0 || connect(udp, (void *)&there, sizeof there) < 0) {
        perror("relay: socket");
        exit(1);
    }
    return udp;
}

int main(int count, char **words)
{
    static char buffer[HEADER + LARGEST];

    if (count != 5) {
        fputs("usage: relay IFNAME PORT REMOTE_IP REMOTE_PORT\n", stderr);
        return 2;
    }
    int tun = open_tun(words[1]);
    int udp = open_socket(words[2], words[3], words[4]);
    struct pollfd ready[2] = {{.fd = tun, .events = POLLIN}, {.fd = udp, .events = POLLIN}};

    for (;;) {
        poll(ready, 2, -1);
        for (int i = 0; ready[0].revents && i < BATCH; i++) {
            ssize_t len = read(tun, buffer + HEADER, LARGEST);
            if (len <= 0)
                break;
            /* A full queue or an ICMP error costs this packet. */
            (void)!send(udp, buffer, len + HEADER, 0);
        }
        for (int i = 0; ready[1].revents && i < BATCH; i++) {
            ssize_t len = recv(udp, buffer, LARGEST, 0);
            if (len < HEADER)
                break;
            (void)!write(tun, buffer + HEADER, len - HEADER);
        }
    }
}
