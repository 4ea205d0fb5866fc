/* Internet checksums and IP headers, as relay_gso needs them.
 *
 * Sums are kept in the byte order of the packet: a folded sum is stored as it is.
 */
#ifndef ZONEMESH_BENCH_CHECKSUM_H
#define ZONEMESH_BENCH_CHECKSUM_H

#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t add(const uint8_t *bytes, int len, uint64_t sum)
{
    for (; len >= 32; bytes += 32, len -= 32) {
        uint64_t words[4];
        memcpy(words, bytes, 32);
        for (int i = 0; i < 4; i++)
            sum += (uint32_t)words[i] + (words[i] >> 32);
    }
    for (; len >= 4; bytes += 4, len -= 4) {
        uint32_t word;
        memcpy(&word, bytes, 4);
        sum += word;
    }
    if (len >= 2) {
        uint16_t word;
        memcpy(&word, bytes, 2);
        sum += word;
        bytes += 2;
        len -= 2;
    }
    return len ? sum + *bytes : sum;
}

static inline uint16_t fold(uint64_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

static inline int is_v6(const uint8_t *packet)
{
    return packet[0] >> 4 == 6;
}

static inline uint64_t pseudo_header(const uint8_t *packet, int protocol, int len)
{
    uint64_t sum = is_v6(packet) ? add(packet + 8, 32, 0) : add(packet + 12, 8, 0);

    return sum + htons(protocol) + htons(len);
}

static inline void put(uint8_t *at, uint16_t value)
{
    memcpy(at, &value, 2);
}

/* Writes the length, and for IPv4 the checksum, into an IP header of `header` bytes. */
static inline void finish_ip(uint8_t *packet, int header, int len)
{
    if (is_v6(packet)) {
        put(packet + 4, htons(len - 40));
        return;
    }
    put(packet + 2, htons(len));
    put(packet + 10, 0);
    put(packet + 10, ~fold(add(packet, header, 0)));
}

#endif
