/* relay_gso IFNAME PORT REMOTE_IP REMOTE_PORT none|chacha|aesgcm
 *
 * A tunnel with every offload the kernel has: TUN with virtio-net header, TSO and USO; UDP_SEGMENT
 * and UDP_GRO on the wire; TCP segments merged again before they go into the TUN. Two threads, one
 * per direction. `none` is what the kernel's edge alone costs, `chacha` adds the AEAD that
 * WireGuard uses (OpenSSL's). An instrument, not a VPN: a fixed key, no handshake, no replay
 * window, no routing.
 *
 * A datagram is a 16-byte header (type, receiver, counter), the packet, and a 16-byte tag.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <netinet/udp.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "checksum.h"

/* Younger than the headers of some distributions. */
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

enum {
    HEADER = 16,
    TAG = 16,
    VNET = sizeof(struct virtio_net_hdr),
    LARGEST = 65536,
    ROOM = 80000,
    MOST_BYTES = 65000, /* of one UDP_SEGMENT send, and of one merged packet */
    MOST_SEGMENTS = 64,
    SOCKET_BUFFER = 4 << 20,
    TCP = 6,
    UDP = 17,
    FIN = 0x01,
    PSH = 0x08,
    ACK = 0x10,
};

static int tun, udp;
static int tag_len;               /* 0 without cryptography */
static const EVP_CIPHER *cipher;
static const uint8_t key[32] = {1, 2, 3};

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

/* --- AEAD --------------------------------------------------------------------------------- */

static void nonce_of(uint64_t counter, uint8_t nonce[12])
{
    memset(nonce, 0, 4);
    memcpy(nonce + 4, &counter, 8);
}

/* `datagram`: room for the header, `len` bytes of packet, room for the tag. */
static void seal(EVP_CIPHER_CTX *context, uint64_t counter, uint8_t *datagram, int len)
{
    const uint32_t head[2] = {4, 7};
    uint8_t nonce[12];
    int done;

    memcpy(datagram, head, 8);
    memcpy(datagram + 8, &counter, 8);
    if (!tag_len)
        return;
    nonce_of(counter, nonce);
    EVP_EncryptInit_ex(context, NULL, NULL, NULL, nonce);
    EVP_EncryptUpdate(context, datagram + HEADER, &done, datagram + HEADER, len);
    EVP_EncryptFinal_ex(context, datagram + HEADER + len, &done);
    EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, TAG, datagram + HEADER + len);
}

/* Opens in place. Returns the packet's length, or -1 if it is not authentic. */
static int open_datagram(EVP_CIPHER_CTX *context, uint8_t *datagram, int len)
{
    uint8_t nonce[12];
    uint64_t counter;
    int done, packet = len - HEADER - tag_len;

    if (packet < 0 || !tag_len)
        return packet;
    memcpy(&counter, datagram + 8, 8);
    nonce_of(counter, nonce);
    EVP_DecryptInit_ex(context, NULL, NULL, NULL, nonce);
    EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, TAG, datagram + HEADER + packet);
    EVP_DecryptUpdate(context, datagram + HEADER, &done, datagram + HEADER, packet);
    return EVP_DecryptFinal_ex(context, datagram + HEADER + packet, &done) == 1 ? packet : -1;
}

/* --- Outward: TUN -> UDP ------------------------------------------------------------------ */

static void transmit(uint8_t *bytes, int len, int stride)
{
    char control[CMSG_SPACE(2)] = {0};
    struct iovec part = {bytes, len};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    if (len > stride) {
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        struct cmsghdr *segment = CMSG_FIRSTHDR(&message);
        segment->cmsg_level = SOL_UDP;
        segment->cmsg_type = UDP_SEGMENT;
        segment->cmsg_len = CMSG_LEN(2);
        put(CMSG_DATA(segment), stride);
    }
    if (sendmsg(udp, &message, 0) < 0 && errno != ECONNREFUSED && errno != ENOBUFS)
        perror("relay_gso: sendmsg");
}

/* Completes the checksum that the kernel left to its "hardware". */
static void finish_checksum(const struct virtio_net_hdr *header, uint8_t *packet, int len)
{
    if (!(header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
        return;
    uint8_t *from = packet + header->csum_start;
    uint16_t sum = ~fold(add(from, len - header->csum_start, 0));
    if (!sum && header->csum_offset == 6)
        sum = 0xffff; /* UDP: 0 would mean none */
    put(from + header->csum_offset, sum);
}

/* Makes segment `number` of a super-packet at `out`: headers, payload, lengths, checksums. */
static void make_segment(uint8_t *out, const uint8_t *packet, int l4, int header,
                         const uint8_t *payload, int len, int number, int stride, int last)
{
    uint8_t *transport = out + l4;
    int total = header + len, l4_len = total - l4;
    int protocol = header - l4 == 8 ? UDP : TCP;

    memcpy(out, packet, header);
    memcpy(out + header, payload, len);
    if (!is_v6(out)) {
        uint16_t id;
        memcpy(&id, packet + 4, 2);
        put(out + 4, htons(ntohs(id) + number));
    }
    finish_ip(out, l4, total);
    if (protocol == UDP) {
        put(transport + 4, htons(l4_len));
        put(transport + 6, 0);
        put(transport + 6, ~fold(add(transport, l4_len, pseudo_header(out, UDP, l4_len))));
        return;
    }
    uint32_t sequence;
    memcpy(&sequence, packet + l4 + 4, 4);
    sequence = htonl(ntohl(sequence) + number * stride);
    memcpy(transport + 4, &sequence, 4);
    if (!last)
        transport[13] &= ~(FIN | PSH);
    put(transport + 16, 0);
    put(transport + 16, ~fold(add(transport, l4_len, pseudo_header(out, TCP, l4_len))));
}

static void *outward(void *unused)
{
    static uint8_t in[ROOM], out[ROOM];
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    struct virtio_net_hdr *vnet = (void *)in;
    uint8_t *packet = in + VNET;
    uint64_t counter = 0;

    if (tag_len)
        EVP_EncryptInit_ex(context, cipher, NULL, key, NULL);
    for (;;) {
        int len = read(tun, in, sizeof in) - VNET;
        if (len <= 0)
            continue;
        int kind = vnet->gso_type & ~VIRTIO_NET_HDR_GSO_ECN;
        if (kind == VIRTIO_NET_HDR_GSO_NONE) {
            finish_checksum(vnet, packet, len);
            memcpy(out + HEADER, packet, len);
            seal(context, counter++, out, len);
            transmit(out, HEADER + len + tag_len, HEADER + len + tag_len);
            continue;
        }
        int l4 = vnet->csum_start, mss = vnet->gso_size, filled = 0, number = 0;
        int header = kind == VIRTIO_NET_HDR_GSO_UDP_L4 ? l4 + 8 : l4 + (packet[l4 + 12] >> 4) * 4;
        int stride = HEADER + header + mss + tag_len;
        for (int at = header; at < len; at += mss, number++) {
            int part = len - at < mss ? len - at : mss;
            if (filled + stride > MOST_BYTES || filled / stride >= MOST_SEGMENTS) {
                transmit(out, filled, stride);
                filled = 0;
            }
            make_segment(out + filled + HEADER, packet, l4, header, packet + at, part, number, mss,
                         at + part == len);
            seal(context, counter++, out + filled, header + part);
            filled += HEADER + header + part + tag_len;
        }
        if (filled)
            transmit(out, filled, stride);
    }
    return unused;
}

/* --- Inward: UDP -> TUN ------------------------------------------------------------------- */

/* TCP segments of one flow that follow each other, merged so far. */
static struct {
    uint8_t bytes[ROOM]; /* virtio-net header, packet */
    int len, count, l4, header, mss;
    uint32_t next;
} merged;

static void flush(void)
{
    struct virtio_net_hdr *vnet = (void *)merged.bytes;
    uint8_t *packet = merged.bytes + VNET;
    int l4 = merged.l4;

    if (!merged.count)
        return;
    memset(vnet, 0, VNET);
    if (merged.count > 1) {
        finish_ip(packet, l4, merged.len);
        put(packet + l4 + 16, fold(pseudo_header(packet, TCP, merged.len - l4)));
        vnet->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
        vnet->gso_type = is_v6(packet) ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
        vnet->gso_size = merged.mss;
        vnet->hdr_len = merged.header;
        vnet->csum_start = l4;
        vnet->csum_offset = 16;
    }
    (void)!write(tun, merged.bytes, VNET + merged.len);
    merged.count = 0;
}

static void begin(const uint8_t *packet, int len)
{
    flush();
    memcpy(merged.bytes + VNET, packet, len);
    merged.len = len;
    merged.count = 1;
}

/* Whether it is TCP with nothing but ACK and PSH, and no fragment. */
static int may_merge(const uint8_t *packet, int len, int l4)
{
    if (len < l4 + 20 || (is_v6(packet) ? packet[6] : packet[9]) != TCP)
        return 0;
    if (!is_v6(packet) && ((packet[6] & 0x3f) || packet[7]))
        return 0;
    return !(packet[l4 + 13] & ~(ACK | PSH));
}

/* Whether a segment continues what is merged: same flow, acknowledgement and options, in order. */
static int continues(const uint8_t *packet, int l4, int header, int payload, uint32_t sequence)
{
    const uint8_t *sofar = merged.bytes + VNET;

    return merged.count && header == merged.header && l4 == merged.l4 && sequence == merged.next &&
           payload > 0 && payload <= merged.mss && merged.len + payload < MOST_BYTES &&
           !(sofar[l4 + 13] & PSH) && !memcmp(sofar + l4, packet + l4, 4) &&
           !memcmp(sofar + l4 + 8, packet + l4 + 8, 4) &&
           !memcmp(sofar + l4 + 20, packet + l4 + 20, header - l4 - 20) &&
           (is_v6(packet) ? !memcmp(sofar + 8, packet + 8, 32)
                          : !memcmp(sofar + 12, packet + 12, 8));
}

static void give(const uint8_t *packet, int len)
{
    int l4 = is_v6(packet) ? 40 : (packet[0] & 15) * 4;

    if (!may_merge(packet, len, l4)) {
        begin(packet, len);
        flush();
        return;
    }
    int header = l4 + (packet[l4 + 12] >> 4) * 4, payload = len - header;
    int intact = fold(add(packet + l4, len - l4, pseudo_header(packet, TCP, len - l4))) == 0xffff;
    uint32_t sequence;
    memcpy(&sequence, packet + l4 + 4, 4);
    sequence = ntohl(sequence);
    if (intact && continues(packet, l4, header, payload, sequence)) {
        memcpy(merged.bytes + VNET + merged.len, packet + header, payload);
        merged.len += payload;
        merged.count++;
        merged.next += payload;
        merged.bytes[VNET + l4 + 13] |= packet[l4 + 13] & PSH;
        if (payload < merged.mss || (packet[l4 + 13] & PSH))
            flush();
        return;
    }
    begin(packet, len);
    merged.header = header;
    merged.l4 = l4;
    merged.mss = payload;
    merged.next = sequence + payload;
    if (!intact || !payload)
        flush();
}

static int stride_of(struct msghdr *message, int len)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO)
            memcpy(&len, CMSG_DATA(c), sizeof len);
    }
    return len;
}

static void *inward(void *unused)
{
    static uint8_t in[ROOM];
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    char control[128];

    if (tag_len)
        EVP_DecryptInit_ex(context, cipher, NULL, key, NULL);
    for (;;) {
        struct iovec part = {in, LARGEST};
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control,
                                 .msg_controllen = sizeof control};
        int len = recvmsg(udp, &message, 0);
        if (len < HEADER)
            continue;
        int stride = stride_of(&message, len);
        for (int at = 0; at < len; at += stride) {
            int size = len - at < stride ? len - at : stride;
            int packet = open_datagram(context, in + at, size);
            if (packet > 0)
                give(in + at + HEADER, packet);
        }
        flush();
    }
    return unused;
}

/* --- Start -------------------------------------------------------------------------------- */

static void open_tun(const char *name)
{
    struct ifreq request = {0};
    unsigned long tso = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;

    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    request.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;
    tun = open("/dev/net/tun", O_RDWR);
    if (tun < 0 || ioctl(tun, TUNSETIFF, &request) < 0)
        fail("relay_gso: TUN");
    if (ioctl(tun, TUNSETOFFLOAD, tso | TUN_F_USO4 | TUN_F_USO6) < 0 &&
        ioctl(tun, TUNSETOFFLOAD, tso) < 0)
        fail("relay_gso: TUN offloads");
}

static void open_socket(const char *port, const char *remote, const char *remote_port)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons(atoi(remote_port))};
    int size = SOCKET_BUFFER, on = 1;

    inet_pton(AF_INET, remote, &there.sin_addr);
    udp = socket(AF_INET, SOCK_DGRAM, 0);
    setsockopt(udp, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    setsockopt(udp, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
    if (setsockopt(udp, SOL_UDP, UDP_GRO, &on, sizeof on) < 0)
        fail("relay_gso: UDP_GRO");
    if (bind(udp, (void *)&here, sizeof here) < 0 || connect(udp, (void *)&there, sizeof there) < 0)
        fail("relay_gso: socket");
}

int main(int count, char **words)
{
    pthread_t threads[2];

    if (count != 6) {
        fputs("usage: relay_gso IFNAME PORT REMOTE_IP REMOTE_PORT none|chacha|aesgcm\n", stderr);
        return 2;
    }
    if (strcmp(words[5], "none") != 0) {
        tag_len = TAG;
        cipher = strcmp(words[5], "chacha") == 0 ? EVP_chacha20_poly1305() : EVP_aes_256_gcm();
    }
    open_tun(words[1]);
    open_socket(words[2], words[3], words[4]);
    pthread_create(&threads[0], NULL, outward, NULL);
    pthread_create(&threads[1], NULL, inward, NULL);
    pthread_join(threads[0], NULL);
    return 0;
}
