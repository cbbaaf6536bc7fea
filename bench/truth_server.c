/* A streaming server of known truth: every token on an absolute schedule, every send noted.
 *
 *     truth_server TTFT_US GAP_US TOKENS steps|spread TRUTH_FILE     prints its port, serves until its standard input closes
 *
 * One thread, epoll, one timerfd, a heap of due times. Arrival is the moment at which the kernel received a request's last
 * byte, whenever this program came to read it. Its first token is due at the first moment of its phase from arrival + ttft on,
 * and a token every gap after that. `steps`: all streams share one phase, as in an engine that computes a token for every
 * running request in one step. `spread`: the phases are spread evenly over the gap. Either way the pattern is the server's own
 * and not an echo of how the client happened to send, so that different clients meet the same work. For each finished request it appends to TRUTH_FILE, all int64 in nanoseconds on the
 * monotonic clock: the number in the request's X-Request-Id after its last '-' (-1 without one), arrival, and TOKENS sends,
 * each noted just before the write. At the end it prints its processor time in seconds.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/net_tstamp.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { REQUEST_BYTES = 1 << 20, EVENTS = 512 };

typedef struct {
    int fd, token;              /* the next token to send; -1 while no request is being answered */
    size_t filled, capacity;
    char *request;
    int64_t due_ns, id, arrival_ns, *sent_ns;
} Stream;

static int64_t ttft_ns, gap_ns;
static int spread, tokens, epoll_fd, timer_fd, heap_size, heap_capacity;
static Stream **heap;
static FILE *truth;

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* CLOCK_REALTIME - CLOCK_MONOTONIC, sampled anew for each use: it drifts by tens of microseconds within seconds. */
static int64_t wall_offset_ns(void) {
    int64_t best_width = INT64_MAX, best = 0;
    for (int i = 0; i < 3; i++) {
        struct timespec wall;
        int64_t before = now_ns(), after;
        clock_gettime(CLOCK_REALTIME, &wall);
        after = now_ns();
        if (after - before < best_width) {
            best_width = after - before;
            best = wall.tv_sec * 1000000000LL + wall.tv_nsec - (before + after) / 2;
        }
    }
    return best;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void heap_sift_down(int at) {
    Stream *moving = heap[at];
    for (int child; (child = 2 * at + 1) < heap_size; at = child) {
        if (child + 1 < heap_size && heap[child + 1]->due_ns < heap[child]->due_ns) child++;
        if (heap[child]->due_ns >= moving->due_ns) break;
        heap[at] = heap[child];
    }
    heap[at] = moving;
}

static void heap_push(Stream *stream) {
    if (heap_size == heap_capacity) {
        heap_capacity = heap_capacity ? 2 * heap_capacity : 1024;
        heap = realloc(heap, sizeof *heap * heap_capacity);
    }
    int at = heap_size++;
    for (int parent; at > 0 && heap[parent = (at - 1) / 2]->due_ns > stream->due_ns; at = parent) heap[at] = heap[parent];
    heap[at] = stream;
}

static void heap_pop(void) {
    heap[0] = heap[--heap_size];
    if (heap_size) heap_sift_down(0);
}

static int chunk(char *out, const char *data, int length) {
    int n = sprintf(out, "%x\r\n", length);
    memcpy(out + n, data, length);
    memcpy(out + n + length, "\r\n", 2);
    return n + length + 2;
}

/* The bytes of token k: a vLLM-shaped completions chunk; the head before the first; usage, [DONE] and the end after the last. */
static int token_bytes(Stream *stream, int k, char *out) {
    char data[1024];
    int n = 0, last = k == tokens - 1;
    if (k == 0)
        n += sprintf(out, "HTTP/1.1 200 OK\r\nserver: truth\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
                          "transfer-encoding: chunked\r\n\r\n");
    int length = sprintf(data,
        "data: {\"id\":\"cmpl-%016llx\",\"object\":\"text_completion\",\"created\":1795442268,\"model\":\"truth\",\"choices\":[{"
        "\"index\":0,\"text\":\" token\",\"logprobs\":null,\"finish_reason\":%s,\"stop_reason\":null,\"prompt_token_ids\":null,"
        "\"token_ids\":[%d]}]}\n\n", (unsigned long long)stream->id, last ? "\"length\"" : "null", 300 + k);
    n += chunk(out + n, data, length);
    if (last) {
        length = sprintf(data,
            "data: {\"id\":\"cmpl-%016llx\",\"object\":\"text_completion\",\"created\":1795442268,\"model\":\"truth\",\"choices\":[],"
            "\"usage\":{\"prompt_tokens\":32,\"total_tokens\":%d,\"completion_tokens\":%d}}\n\n",
            (unsigned long long)stream->id, 32 + tokens, tokens);
        n += chunk(out + n, data, length);
        n += chunk(out + n, "data: [DONE]\n\n", 14);
        memcpy(out + n, "0\r\n\r\n", 5);
        n += 5;
    }
    return n;
}

static void send_due(void) {
    char out[4096];
    while (heap_size && heap[0]->due_ns <= now_ns()) {
        Stream *stream = heap[0];
        int length = token_bytes(stream, stream->token, out);
        stream->sent_ns[stream->token] = now_ns();
        if (send(stream->fd, out, length, MSG_NOSIGNAL) != length) {    /* gone, or not reading: its stream ends here */
            heap_pop();
            stream->token = -1;
            continue;
        }
        if (++stream->token == tokens) {
            heap_pop();
            fwrite(&stream->id, sizeof(int64_t), 1, truth);
            fwrite(&stream->arrival_ns, sizeof(int64_t), 1, truth);
            fwrite(stream->sent_ns, sizeof(int64_t), tokens, truth);
            stream->token = -1;
        } else {
            stream->due_ns += gap_ns;
            heap_sift_down(0);
        }
    }
    struct itimerspec next = {0};
    if (heap_size) {
        next.it_value.tv_sec = heap[0]->due_ns / 1000000000LL;
        next.it_value.tv_nsec = heap[0]->due_ns % 1000000000LL;
    }
    timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &next, NULL);
}

static void hang_up(Stream *stream) {
    if (stream->token >= 0) {
        int at = 0;
        while (heap[at] != stream) at++;
        heap[at] = heap[--heap_size];
        for (int i = heap_size / 2; i-- > 0;) heap_sift_down(i);
    }
    close(stream->fd);
    free(stream->request);
    free(stream->sent_ns);
    free(stream);
}

/* The length of the whole request at the start of `stream->request`, 0 if its head or body is not all here. */
static size_t whole_request(Stream *stream, int64_t *id) {
    char *end = memmem(stream->request, stream->filled, "\r\n\r\n", 4);
    if (!end) return 0;
    size_t body = 0;
    *id = -1;
    for (char *line = stream->request; line < end; line = (char *)memmem(line, end + 2 - line, "\r\n", 2) + 2) {
        if (!strncasecmp(line, "content-length:", 15)) body = strtoul(line + 15, NULL, 10);
        if (!strncasecmp(line, "x-request-id:", 13)) {
            char *stop = memmem(line, end + 2 - line, "\r\n", 2), *dash = memrchr(line + 13, '-', stop - line - 13);
            *id = strtoll(dash ? dash + 1 : line + 13, NULL, 10);
        }
    }
    size_t whole = end + 4 - stream->request + body;
    return stream->filled >= whole ? whole : 0;
}

static void readable(Stream *stream) {
    for (;;) {
        if (stream->filled == stream->capacity) {
            stream->capacity = stream->capacity ? 2 * stream->capacity : 8192;
            stream->request = realloc(stream->request, stream->capacity);
        }
        char control[256];
        struct iovec room = {stream->request + stream->filled, stream->capacity - stream->filled};
        struct msghdr message = {.msg_iov = &room, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
        ssize_t n = recvmsg(stream->fd, &message, 0);
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) {
            hang_up(stream);
            return;
        }
        stream->filled += n;
        int64_t id;
        size_t whole = whole_request(stream, &id);
        if (whole && stream->token < 0) {
            stream->arrival_ns = now_ns();
            for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
                if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMPING) {
                    struct timespec *at = (struct timespec *)CMSG_DATA(c);
                    stream->arrival_ns = at->tv_sec * 1000000000LL + at->tv_nsec - wall_offset_ns();
                }
            }
            stream->id = id;
            stream->token = 0;
            stream->due_ns = stream->arrival_ns + ttft_ns;
            int64_t phase_ns = spread ? stream->fd * 7919 % 1000 * gap_ns / 1000 : 0;
            stream->due_ns += ((phase_ns - stream->due_ns) % gap_ns + gap_ns) % gap_ns;
            heap_push(stream);
            memmove(stream->request, stream->request + whole, stream->filled -= whole);
        }
    }
}

int main(int argc, char **argv) {
    if (argc != 6 || (strcmp(argv[4], "steps") && strcmp(argv[4], "spread"))) {
        fprintf(stderr, "usage: truth_server TTFT_US GAP_US TOKENS steps|spread TRUTH_FILE\n");
        return 2;
    }
    ttft_ns = atoll(argv[1]) * 1000;
    gap_ns = atoll(argv[2]) * 1000;
    tokens = atoi(argv[3]);
    spread = !strcmp(argv[4], "spread");
    if (!(truth = fopen(argv[5], "wb"))) die(argv[5]);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);

    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    int stamping = SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 4096)) die("listen");
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);

    epoll_fd = epoll_create1(0);
    timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    int fixed[] = {listener, timer_fd, STDIN_FILENO};
    for (int i = 0; i < 3; i++) {
        struct epoll_event watch = {.events = EPOLLIN, .data.ptr = &fixed[i]};
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fixed[i], &watch)) die("epoll_ctl");
    }
    struct epoll_event events[EVENTS];
    for (;;) {
        int n = epoll_wait(epoll_fd, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == &fixed[2]) {
                struct rusage use;
                getrusage(RUSAGE_SELF, &use);
                printf("%.3f\n", use.ru_utime.tv_sec + use.ru_stime.tv_sec + (use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6);
                fclose(truth);
                return 0;
            }
            if (events[i].data.ptr == &fixed[1]) {
                uint64_t rings;
                if (read(timer_fd, &rings, sizeof rings) < 0 && errno != EAGAIN) die("timerfd");
            } else if (events[i].data.ptr == &fixed[0]) {
                int fd;
                while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &stamping, sizeof stamping);
                    Stream *stream = calloc(1, sizeof *stream);
                    stream->fd = fd;
                    stream->token = -1;
                    stream->sent_ns = malloc(sizeof(int64_t) * tokens);
                    struct epoll_event watch = {.events = EPOLLIN | EPOLLET, .data.ptr = stream};
                    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &watch)) die("epoll_ctl");
                }
            } else {
                readable(events[i].data.ptr);
            }
        }
        send_due();
    }
}
