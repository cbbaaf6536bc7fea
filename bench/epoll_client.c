/* The cheapest honest client: what the kernel's work alone costs, for comparison.
 *
 *     epoll_client PORT STREAMS REQUESTS          (a closed loop against truth_server on 127.0.0.1)
 *
 * One thread, epoll, recv into one buffer. It counts `data: {` per read and sees the end of an answer by its last bytes; it
 * keeps no stamp and parses nothing. Prints: events, processor seconds, wall seconds, reads.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static double cpu_s(void) {
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return use.ru_utime.tv_sec + use.ru_stime.tv_sec + (use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

static char request[8192];
static int request_length;
static long left, events_seen, reads;

static void start(int fd) {
    if (left > 0) {
        left--;
        if (send(fd, request, request_length, MSG_NOSIGNAL) != request_length) perror("send");
    }
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: epoll_client PORT STREAMS REQUESTS\n");
        return 2;
    }
    int port = atoi(argv[1]), streams = atoi(argv[2]), one = 1;
    long requests = atol(argv[3]), done = 0;
    left = requests;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);

    char body[4096] = "{\"model\":\"truth\",\"prompt\":[";
    for (int i = 0; i < 32; i++) sprintf(body + strlen(body), "%d%s", 300 + i, i < 31 ? "," : "],\"max_tokens\":1,\"stream\":true}");
    request_length = sprintf(request, "POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                                      "Content-Length: %zu\r\n\r\n%s", strlen(body), body);
    int epoll_fd = epoll_create1(0), *fds = malloc(sizeof *fds * streams);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (int i = 0; i < streams; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(fds[i], (struct sockaddr *)&address, sizeof address)) {
            perror("connect");
            return 1;
        }
        setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct epoll_event watch = {.events = EPOLLIN, .data.fd = fds[i]};
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fds[i], &watch);
    }
    static char buffer[65536];
    struct epoll_event ready[512];
    double begun_s = now_s(), cpu_begun_s = cpu_s();
    for (int i = 0; i < streams; i++) start(fds[i]);
    while (done < requests) {
        int n = epoll_wait(epoll_fd, ready, 512, -1);
        for (int i = 0; i < n; i++) {
            ssize_t length = recv(ready[i].data.fd, buffer, sizeof buffer, 0);
            if (length <= 0) {
                fprintf(stderr, "a connection was lost\n");
                return 1;
            }
            reads++;
            for (char *at = buffer; (at = memmem(at, buffer + length - at, "data: {", 7)); at += 7) events_seen++;
            if (length >= 5 && !memcmp(buffer + length - 5, "0\r\n\r\n", 5)) {
                done++;
                start(ready[i].data.fd);
            }
        }
    }
    printf("%ld %.4f %.4f %ld\n", events_seen, cpu_s() - cpu_begun_s, now_s() - begun_s, reads);
    return 0;
}
