/* udpblast recv PORT | udpblast send IP PORT SIZE PACKETS_PER_SECOND SECONDS
 *
 * Cheap load of small packets: sendmmsg and recvmmsg, each packet its own datagram (no UDP GSO, so
 * that the tunnel sees single packets).
 *
 * recv: prints "ready"; on SIGTERM "<datagrams> <seconds from first to last>".
 * send: prints "<datagrams sent> <seconds>"; falls behind rather than bursting.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>

enum { BATCH = 64, LARGEST = 2048, SOCKET_BUFFER = 8 << 20 };

static char payload[BATCH][LARGEST];
static struct iovec parts[BATCH];
static struct mmsghdr messages[BATCH];
static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    (void)number;
    stop = 1;
}

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

static void sleep_until(double moment)
{
    double left = moment - now();
    struct timespec pause = {.tv_sec = (time_t)left, .tv_nsec = (left - (time_t)left) * 1e9};

    if (left > 0)
        nanosleep(&pause, NULL);
}

static void lay_out(size_t size)
{
    for (int i = 0; i < BATCH; i++) {
        parts[i] = (struct iovec){.iov_base = payload[i], .iov_len = size};
        messages[i].msg_hdr.msg_iov = &parts[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
}

static int receive(int udp, const char *port)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
    struct sigaction action = {.sa_handler = on_signal};
    struct timeval patience = {.tv_usec = 20000};
    int size = SOCKET_BUFFER;
    int got;
    long count = 0;
    double first = 0, last = 0;

    setsockopt(udp, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    setsockopt(udp, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (bind(udp, (void *)&here, sizeof here) < 0) {
        perror("udpblast: bind");
        return 1;
    }
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    lay_out(LARGEST);
    puts("ready");
    fflush(stdout);
    while (!stop) {
        got = recvmmsg(udp, messages, BATCH, MSG_WAITFORONE, NULL);
        if (got <= 0)
            continue;
        last = now();
        if (count == 0)
            first = last;
        count += got;
    }
    while ((got = recvmmsg(udp, messages, BATCH, MSG_DONTWAIT, NULL)) > 0)
        count += got;
    printf("%ld %.6f\n", count, last - first);
    return 0;
}

/* Datagrams per system call: few when slow, so that the rate is even. */
static int batch_for(double rate)
{
    if (rate <= 2000)
        return 1;
    return rate < 200000 ? 16 : 32;
}

static int transmit(int udp, char **words)
{
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons(atoi(words[3]))};
    size_t size = atoi(words[4]);
    double rate = atof(words[5]), seconds = atof(words[6]);
    int buffer = SOCKET_BUFFER, batch = batch_for(rate);
    long sent = 0;

    inet_pton(AF_INET, words[2], &there.sin_addr);
    setsockopt(udp, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer);
    if (size > LARGEST || connect(udp, (void *)&there, sizeof there) < 0) {
        perror("udpblast: connect");
        return 1;
    }
    lay_out(size);
    double start = now();
    while (now() - start < seconds) {
        long due = (long)((now() - start) * rate) + 1;
        while (sent < due && now() - start < seconds) {
            int got = sendmmsg(udp, messages, due - sent < batch ? due - sent : batch, 0);
            if (got < 0 && errno != ENOBUFS && errno != ECONNREFUSED) {
                perror("udpblast: send");
                return 1;
            }
            sent += got < 0 ? 1 : got; /* a refused datagram is a lost one */
        }
        sleep_until(start + (sent + batch) / rate);
    }
    printf("%ld %.6f\n", sent, now() - start);
    return 0;
}

int main(int count, char **words)
{
    int udp = socket(AF_INET, SOCK_DGRAM, 0);

    prctl(PR_SET_TIMERSLACK, 1);
    if (count == 3 && strcmp(words[1], "recv") == 0)
        return receive(udp, words[2]);
    if (count == 7 && strcmp(words[1], "send") == 0)
        return transmit(udp, words);
    fputs("usage: udpblast recv PORT | udpblast send IP PORT SIZE RATE SECONDS\n", stderr);
    return 2;
}
