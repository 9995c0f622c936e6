/* The load of bench: keeps so many connections busy with one request and times its answers. Plain HTTP/1.1 on loopback.
 *
 *     load PORT REQUEST USERS CONNECTIONS SECONDS EACH RATE FIRST_EVENT PAYLOAD SAMPLES CLOCK
 *
 * REQUEST is a file with the whole request, head and body; a large one is sent from there, and takes no memory. It has
 * one of equal length for each of USERS, who take turns at the connections. New requests are sent for SECONDS, and at
 * most EACH on a connection (0: no bound); what has begun is read to its end. With RATE (bytes per second and
 * connection, 0: as fast as it comes) readers are slow, their kernel's buffers small, and all is broken off after
 * SECONDS. An answer is good if it is a 200 and its payload has PAYLOAD bytes (0: any number). Bodies are thrown away
 * inside the kernel (MSG_TRUNC). CLOCK is a file in which upstream.c writes when it went on after its last pause.
 * SAMPLES gets four floats (ms) for each good answer: until its last byte, its first byte, and the byte FIRST_EVENT of
 * its payload; and from the end of a pause to the byte after it, the longest of all its pauses.
 * Stdout: good, bad and begun answers, payload bytes, seconds, and what was wrong with the first bad one. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 16384, CONNECTIONS_MAX = 16384, BAD_MAX = 200, TICK_MS = 5, SLOW_BUFFER_BYTES = 65536, DISCARD_MAX = 4 << 20,
       PATIENCE_SECONDS = 120, SILENCE_MS = 50 };
enum framing { HEAD, LENGTH, CHUNK_LINE, CHUNK, TRAILER, DONE };

struct connection {
    int fd, requests, is_busy;
    enum framing framing;
    char in[BUFFER + 1];
    size_t have, at;                 /* bytes in `in`, and how many of them are dealt with */
    size_t written, left;            /* of the request; of the body or the chunk */
    size_t payload;
    int is_chunked, closes;
    double sent_at, first_byte_ms, first_event_ms, read_at, after_silence_ms;
};

static struct {
    int port, users, connections, each;
    double seconds, rate;
    size_t first_event, payload;
    char request[BUFFER];            /* all of them, where they are small */
    size_t request_length;           /* of one */
    int request_file;
    FILE *samples;
    const double *clock;
} job;
static struct connection connections[CONNECTIONS_MAX];
static int epoll_fd, busy;
static long good, bad, begun;
static double payload_bytes, deadline, patience_ends;
static char first_bad[300];

static void die(const char *what) { perror(what); exit(1); }

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static void open_connection(struct connection *c) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)job.port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1, small = SLOW_BUFFER_BYTES;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (job.rate > 0) setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof address)) die("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (job.rate == 0) epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event);
}

static void reopen(struct connection *c) {
    close(c->fd);
    open_connection(c);
}

static int is_large(void) { return job.request_length * (size_t)job.users > BUFFER; }

/* A large request goes as the socket takes it; epoll tells when it takes more. */
static void write_request(struct connection *c) {
    ssize_t n = 0;
    off_t begin = (c - connections) % job.users * (off_t)job.request_length;
    while (n >= 0 && c->written < job.request_length) {
        size_t left = job.request_length - c->written;
        off_t at = begin + (off_t)c->written;
        n = is_large() ? sendfile(c->fd, job.request_file, &at, left) : send(c->fd, job.request + at, left, MSG_NOSIGNAL);
        if (n > 0) c->written += (size_t)n;
    }
    if (n < 0 && errno != EAGAIN) return; /* reading tells what is wrong */
    if (job.rate == 0 && is_large()) {
        struct epoll_event event = {.events = n < 0 ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = c};
        epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event);
    }
}

static void begin(struct connection *c) {
    c->is_busy = (job.each == 0 || c->requests < job.each) && now() < deadline;
    if (!c->is_busy) { busy--; return; }
    c->requests++;
    c->framing = HEAD;
    c->have = c->at = c->written = c->payload = 0;
    c->first_byte_ms = c->first_event_ms = c->after_silence_ms = c->read_at = 0;
    c->sent_at = now();
    write_request(c);
}

static void fail(struct connection *c, const char *why) {
    if (!bad++) snprintf(first_bad, sizeof first_bad, "%s after %zu bytes: %.*s", why, c->payload, (int)(c->have < 200 ? c->have : 200), c->in);
    if (bad > BAD_MAX) deadline = 0;
    reopen(c);
    begin(c);
}

static void finish(struct connection *c) {
    if (job.payload && c->payload != job.payload) { fail(c, "a wrong length"); return; }
    float sample[4] = {(float)((now() - c->sent_at) * 1e3), (float)c->first_byte_ms, (float)c->first_event_ms,
                       (float)c->after_silence_ms};
    fwrite(sample, sizeof sample, 1, job.samples);
    good++;
    if (c->closes) reopen(c);
    begin(c);
}

static void count(struct connection *c, size_t bytes) {
    c->payload += bytes;
    c->left -= bytes;
    payload_bytes += (double)bytes;
    if (c->first_event_ms == 0 && job.first_event && c->payload >= job.first_event)
        c->first_event_ms = (now() - c->sent_at) * 1e3;
}

/* What the head says; 0 when it is not whole yet, -1 when the answer is no good. */
static int read_head(struct connection *c) {
    c->in[c->have] = 0;
    char *end = strstr(c->in, "\r\n\r\n");
    if (!end) return c->have == BUFFER ? -1 : 0;
    *end = 0;
    const char *length = strcasestr(c->in, "\r\ncontent-length:");
    c->is_chunked = strcasestr(c->in, "\r\ntransfer-encoding: chunked") != NULL;
    c->closes = strcasestr(c->in, "\r\nconnection: close") != NULL;
    int is_good = !strncmp(c->in, "HTTP/1.1 200", 12) && (length || c->is_chunked);
    *end = '\r';
    if (!is_good) return -1;
    begun++;
    c->at = (size_t)(end + 4 - c->in);
    c->framing = c->is_chunked ? CHUNK_LINE : LENGTH;
    c->left = c->is_chunked ? 0 : strtoul(length + 17, NULL, 10);
    return 1;
}

/* Deals with what is in `in`, up to the answer's end; -1 when it makes no sense. */
static int parse(struct connection *c) {
    if (c->framing == HEAD) {
        int told = read_head(c);
        if (told <= 0) return told;
    }
    while (c->framing != DONE) {
        size_t ready = c->have - c->at;
        if (c->framing == LENGTH || c->framing == CHUNK) {
            size_t taken = ready < c->left ? ready : c->left;
            count(c, taken);
            c->at += taken;
            if (c->left) break;
            c->framing = c->framing == LENGTH ? DONE : TRAILER;
        } else { /* a chunk's size, the empty line after a chunk, or the empty line after the last chunk */
            char *line = c->in + c->at, *end = memchr(line, '\n', ready);
            if (!end) {
                if (ready > 100) return -1;
                break;
            }
            c->at += (size_t)(end + 1 - line);
            if (c->framing == TRAILER) { c->framing = c->left == 0 && c->is_chunked == 2 ? DONE : CHUNK_LINE; continue; }
            c->left = strtoul(line, NULL, 16);
            if (c->left == 0) c->is_chunked = 2; /* the last chunk */
            c->framing = c->left ? CHUNK : TRAILER;
        }
    }
    memmove(c->in, c->in + c->at, c->have - c->at);
    c->have -= c->at;
    c->at = 0;
    return 0;
}

/* When bytes have come. Several connections would take the end of one's pause for another's: look at one at a time. */
static void note_arrival(struct connection *c) {
    double at = now(), waited_ms = (at - *job.clock) * 1e3;
    if (c->first_byte_ms == 0) c->first_byte_ms = (at - c->sent_at) * 1e3;
    int was_silent = c->read_at > 0 && (at - c->read_at) * 1e3 > SILENCE_MS;
    if (was_silent && waited_ms > c->after_silence_ms) c->after_silence_ms = waited_ms;
    c->read_at = at;
}

/* Reads what is there, at most `allowance` bytes. */
static void read_answer(struct connection *c, size_t allowance) {
    while (allowance) {
        int discards = (c->framing == LENGTH || c->framing == CHUNK) && c->left > BUFFER;
        /* Of a chunk's framing only little is read, so that its payload can be thrown away. */
        size_t room = discards ? (c->left < DISCARD_MAX ? c->left : DISCARD_MAX) : c->framing == HEAD ? BUFFER - c->have
                    : c->framing == LENGTH ? c->left : c->framing == CHUNK ? c->left + 2 : 24;
        if (!discards && room > BUFFER - c->have) room = BUFFER - c->have;
        if (room > allowance) room = allowance;
        ssize_t n = discards ? recv(c->fd, NULL, room, MSG_TRUNC) : recv(c->fd, c->in + c->have, room, 0);
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) { fail(c, "the connection ended"); return; }
        note_arrival(c);
        allowance -= (size_t)n;
        if (discards) {
            count(c, (size_t)n);
            if (c->left == 0) c->framing = c->framing == LENGTH ? DONE : TRAILER;
        } else {
            c->have += (size_t)n;
            if (parse(c) < 0) { fail(c, "no good answer"); return; }
        }
        if (c->framing == DONE) { finish(c); return; }
        if ((size_t)n < room && c->framing != HEAD) return;
    }
}

static void read_fast(void) {
    struct epoll_event events[256];
    while (busy > 0) {
        int ready = epoll_wait(epoll_fd, events, 256, 1000);
        for (int i = 0; i < ready; i++) {
            struct connection *c = events[i].data.ptr;
            if (!c->is_busy) continue;
            if (events[i].events & EPOLLOUT) write_request(c);
            if (events[i].events & ~(unsigned)EPOLLOUT) read_answer(c, (size_t)-1);
        }
        if (now() > patience_ends) die("answers do not end");
    }
}

static void read_slowly(void) {
    double last = now();
    while (busy > 0 && last < deadline) {
        usleep(TICK_MS * 1000);
        double at = now();
        for (int i = 0; i < job.connections; i++)
            if (connections[i].is_busy) read_answer(&connections[i], (size_t)(job.rate * (at - last)));
        last = at;
    }
}

static void read_request(const char *path) {
    job.request_file = open(path, O_RDONLY | O_CLOEXEC);
    off_t length = lseek(job.request_file, 0, SEEK_END);
    if (length < 0) die(path);
    job.request_length = (size_t)length / (size_t)job.users;
    if (!is_large() && pread(job.request_file, job.request, (size_t)length, 0) != length) die(path);
}

static const double *open_clock(const char *path) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    void *clock = mmap(NULL, sizeof(double), PROT_READ, MAP_SHARED, file, 0);
    if (file < 0 || clock == MAP_FAILED) die(path);
    return clock;
}

int main(int argc, char **argv) {
    if (argc != 12) { fprintf(stderr, "eleven arguments, see load.c\n"); return 2; }
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* never outlives the benchmark */
    job.port = atoi(argv[1]);
    job.users = atoi(argv[3]);
    read_request(argv[2]);
    job.connections = atoi(argv[4]);
    job.seconds = atof(argv[5]);
    job.each = atoi(argv[6]);
    job.rate = atof(argv[7]);
    job.first_event = strtoul(argv[8], NULL, 10);
    job.payload = strtoul(argv[9], NULL, 10);
    job.samples = fopen(argv[10], "wb");
    job.clock = open_clock(argv[11]);
    if (!job.samples || job.connections > CONNECTIONS_MAX) die("samples or connections");
    epoll_fd = epoll_create1(0);
    for (int i = 0; i < job.connections; i++) open_connection(&connections[i]);
    double began = now();
    deadline = began + job.seconds;
    patience_ends = deadline + PATIENCE_SECONDS;
    busy = job.connections;
    for (int i = 0; i < job.connections; i++) begin(&connections[i]);
    if (job.rate > 0) read_slowly(); else read_fast();
    double took = now() - began;
    fclose(job.samples);
    for (char *c = first_bad; *c; c++) if (*c < ' ') *c = ' ';
    printf("%ld %ld %ld %.0f %.6f %s\n", good, bad, begun, payload_bytes, took, first_bad);
    return 0;
}
