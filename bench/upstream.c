/* A ZenMux that costs nearly nothing: answers image requests from memory, over HTTP/1.1 and over TLS. For bench only.
 *
 * The prompt says what the answer is (answers.h), and may add "gap=100" (milliseconds between the events of a stream)
 * and "delay=5000" (before the first byte). Plain answers go out by sendfile.
 *
 *     upstream CLOCK CERTIFICATE KEY
 *
 * CLOCK is a file of eight bytes, in which it writes the moment at which an answer goes on after a pause (load.c reads it).
 * Prints "PORT TLS_PORT"; TLS_PORT is 0 where libssl.so.3 is not to be had. One thread; trusts its only client. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "answers.h"

/* The send buffer is bounded so that the kernel's memory for slow readers is the contender's, not this program's. */
enum { HEAD_MAX = 16384, CONNECTIONS_MAX = 32768, RECORD = 16384, SEND_BUFFER_BYTES = 262144 };

/* One cipher for all contenders, whatever each would have chosen. */
#define CIPHER "TLS_AES_128_GCM_SHA256"

/* libssl is opened at run time, by its stable ABI: no headers have to be installed. */
static struct { /* in the order of the names in open_tls */
    void *(*method)(void), *(*ctx_new)(void *), *(*ssl_new)(void *);
    int (*chain)(void *, const char *), (*key)(void *, const char *, int), (*suites)(void *, const char *);
    long (*ctrl)(void *, int, long, void *);
    int (*set_fd)(void *, int), (*accept)(void *), (*read)(void *, void *, int), (*write)(void *, const void *, int);
    int (*error)(const void *, int);
    void (*free)(void *), (*clear_errors)(void);
} tls;
static void *tls_context;

struct connection {
    int fd, is_open, closes, handshake_done, pause, gap_ms;
    void *ssl;
    char in[HEAD_MAX + 1];
    size_t have, to_skip;          /* read so far; bytes of the request's body beyond `in` */
    struct answer *answer;         /* NULL while a request is being read */
    size_t sent;
    double wake_at;                /* 0: not waiting */
};

static int epoll_fd, waiting_count;
static double next_wake; /* nobody that waits does so for less */
static double *went_on_at;
static struct connection *connections[CONNECTIONS_MAX];

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

/* --- Connections */

static void close_connection(struct connection *c) {
    if (!c->is_open) return;
    c->is_open = 0;
    if (c->wake_at > 0) waiting_count--;
    if (c->ssl) tls.free(c->ssl);
    connections[c->fd] = NULL;
    close(c->fd);
    free(c);
}

static void wait_for(struct connection *c, int milliseconds) {
    c->wake_at = now() + milliseconds / 1e3;
    if (!waiting_count++ || c->wake_at < next_wake) next_wake = c->wake_at;
}

/* Up to the end of the answer or its next pause; 0 when the connection is gone or must wait. */
static int send_answer(struct connection *c) {
    struct answer *answer = c->answer;
    for (;;) {
        int pauses = c->gap_ms && c->pause < answer->pause_count;
        size_t until = pauses ? answer->pauses[c->pause] : answer->length;
        while (c->sent < until) {
            size_t left = until - c->sent;
            ssize_t n;
            if (c->ssl) {
                tls.clear_errors();
                n = tls.write(c->ssl, answer->bytes + c->sent, (int)(left < RECORD ? left : RECORD));
                if (n <= 0) {
                    int error = tls.error(c->ssl, (int)n);
                    if (error != 2 && error != 3) close_connection(c);
                    return 0;
                }
            } else {
                off_t at = (off_t)c->sent;
                n = sendfile(c->fd, answer->file, &at, left);
                if (n <= 0) {
                    if (n == 0 || errno != EAGAIN) close_connection(c);
                    return 0;
                }
            }
            c->sent += (size_t)n;
        }
        if (!pauses) break;
        c->pause++;
        wait_for(c, c->gap_ms);
        return 0;
    }
    c->answer = NULL;
    if (c->closes) { close_connection(c); return 0; }
    return 1;
}

/* What stands behind "prompt" in a JSON body, or in that part of a form. */
static void find_prompt(const char *body, char *out, size_t size) {
    const char *at = strstr(body, "\"prompt\"");
    *out = 0;
    if (!at) return;
    at += strlen("\"prompt\"");
    at += strspn(at, at[0] == '\r' ? "\r\n" : " :\"");
    size_t length = strcspn(at, "\"\r\\");
    if (length >= size) length = size - 1;
    memcpy(out, at, length);
    out[length] = 0;
}

/* Chooses the answer once a request's head is there, and as much of its body as is kept. */
static void take_request(struct connection *c) {
    c->in[c->have] = 0;
    char *end = strstr(c->in, "\r\n\r\n");
    if (!end && c->have == HEAD_MAX) die("a head too long");
    if (!end) return;
    size_t head = (size_t)(end + 4 - c->in);
    char prompt[32];
    *end = 0;
    char *length = strcasestr(c->in, "\r\ncontent-length:");
    c->closes = strcasestr(c->in, "\r\nconnection: close") != NULL;
    *end = '\r';
    size_t total = head + (length ? strtoul(length + 17, NULL, 10) : 0);
    if (c->have < total && c->have < HEAD_MAX) return;
    find_prompt(end + 4, prompt, sizeof prompt);
    c->to_skip = total - c->have;
    const char *delay = strstr(prompt, "delay="), *gap = strstr(prompt, "gap=");
    c->answer = answer_for(prompt);
    c->gap_ms = gap ? atoi(gap + 4) : 0;
    c->have = c->sent = 0;
    c->pause = 0;
    if (delay) wait_for(c, atoi(delay + 6));
}

static void serve(struct connection *c) {
    static char thrown_away[65536];
    if (c->ssl && !c->handshake_done) {
        int done = tls.accept(c->ssl);
        if (done <= 0) {
            int error = tls.error(c->ssl, done);
            if (error != 2 && error != 3) close_connection(c);
            return;
        }
        c->handshake_done = 1;
    }
    for (;;) {
        if (c->answer && c->wake_at == 0 && !c->to_skip && !send_answer(c)) return;
        if (c->answer && !c->to_skip) return;
        char *into = c->to_skip ? thrown_away : c->in + c->have;
        size_t room = c->to_skip ? (c->to_skip < sizeof thrown_away ? c->to_skip : sizeof thrown_away) : HEAD_MAX - c->have;
        if (c->ssl) tls.clear_errors();
        /* What is skipped is thrown away inside the kernel, or once it is decrypted. */
        ssize_t n = c->ssl ? tls.read(c->ssl, into, (int)room)
                  : recv(c->fd, into, c->to_skip ? c->to_skip : room, c->to_skip ? MSG_TRUNC : 0);
        if (n <= 0) {
            int error = c->ssl ? tls.error(c->ssl, (int)n) : 0;
            if (c->ssl ? error != 2 && error != 3 : n == 0 || errno != EAGAIN) close_connection(c);
            return;
        }
        if (c->to_skip) c->to_skip -= (size_t)n;
        else { c->have += (size_t)n; take_request(c); }
    }
}

/* --- The process */

static void accept_from(int listener, int is_tls) {
    int fd, on = 1, bounded = SEND_BUFFER_BYTES;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct connection *c = calloc(1, sizeof *c);
        if (!c || fd >= CONNECTIONS_MAX) die("too many connections");
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bounded, sizeof bounded);
        c->fd = fd;
        c->is_open = 1;
        connections[fd] = c;
        if (is_tls) {
            c->ssl = tls.ssl_new(tls_context);
            tls.set_fd(c->ssl, fd);
        }
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
    }
}

/* Lets those go on whose pause is over; milliseconds until the next one, -1 when nobody waits. */
static int wake(void) {
    double at = now();
    if (next_wake <= at) {
        next_wake = 1e18;
        for (int fd = 0; waiting_count && fd < CONNECTIONS_MAX; fd++) {
            struct connection *c = connections[fd];
            if (!c || c->wake_at == 0) continue;
            if (c->wake_at <= at) {
                c->wake_at = 0;
                waiting_count--;
                if (c->pause) *went_on_at = now();
                serve(c);
                c = connections[fd];
            }
            if (c && c->wake_at > 0 && c->wake_at < next_wake) next_wake = c->wake_at;
        }
    }
    if (!waiting_count) return -1;
    double left = next_wake - now();
    return left > 0 ? (int)(left * 1e3) + 1 : 0;
}

static int listen_at(struct sockaddr_in *address) {
    socklen_t length = sizeof *address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd < 0 || bind(fd, (struct sockaddr *)address, length) || listen(fd, 4096)) die("listen");
    getsockname(fd, (struct sockaddr *)address, &length);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
    return fd;
}

static int open_tls(const char *certificate, const char *key) {
    void *library = dlopen("libssl.so.3", RTLD_NOW);
    if (!library) return 0;
    const char *names[] = {"TLS_server_method", "SSL_CTX_new", "SSL_new", "SSL_CTX_use_certificate_chain_file",
        "SSL_CTX_use_PrivateKey_file", "SSL_CTX_set_ciphersuites", "SSL_CTX_ctrl", "SSL_set_fd", "SSL_accept", "SSL_read",
        "SSL_write", "SSL_get_error", "SSL_free"};
    void **slots = (void **)&tls;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!(slots[i] = dlsym(library, names[i]))) return 0;
    tls.clear_errors = (void (*)(void))dlsym(library, "ERR_clear_error");
    tls_context = tls.ctx_new(tls.method());
    tls.ctrl(tls_context, 33, 1 | 2, NULL); /* SSL_CTRL_MODE: partial writes, from where the buffer may have moved */
    return tls.clear_errors && tls.suites(tls_context, CIPHER) && tls.chain(tls_context, certificate) == 1 &&
        tls.key(tls_context, key, 1) == 1;
}

int main(int count, char **arguments) {
    struct sockaddr_in plain, secure = {0};
    struct epoll_event events[256];
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* never outlives the benchmark */
    int clock = count == 4 ? open(arguments[1], O_RDWR | O_CLOEXEC) : -1;
    went_on_at = mmap(NULL, sizeof *went_on_at, PROT_READ | PROT_WRITE, MAP_SHARED, clock, 0);
    if (went_on_at == MAP_FAILED) die("three arguments, see upstream.c");
    epoll_fd = epoll_create1(0);
    int listener = listen_at(&plain), tls_listener = -1;
    if (open_tls(arguments[2], arguments[3])) tls_listener = listen_at(&secure);
    printf("%d %d\n", ntohs(plain.sin_port), ntohs(secure.sin_port));
    fflush(stdout);
    for (;;) {
        int ready = epoll_wait(epoll_fd, events, 256, waiting_count ? wake() : -1);
        for (int i = 0; i < ready; i++) {
            struct connection *c = events[i].data.ptr;
            if (!c) {
                accept_from(listener, 0);
                if (tls_listener >= 0) accept_from(tls_listener, 1);
            } else if (events[i].events & (EPOLLERR | EPOLLHUP) || (events[i].events & EPOLLRDHUP && c->answer)) {
                close_connection(c);
            } else {
                serve(c);
            }
        }
    }
}
