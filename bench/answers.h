/* The answers of upstream.c, made at their first use and kept as whole HTTP answers in memory files.
 *
 * "2KB", "30MB n=4": OpenAI's JSON of exactly that many bytes (1 KB = 1,000) with n pictures, usage at the end.
 * "sse": three partial images of 1.5 MB and a completed one of 2 MB with usage, each a chunk of chunked framing. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ANSWERS_MAX = 32, EVENTS_MAX = 8, JSON_BYTES_MIN = 600 };

struct answer {
    char prompt[32];
    int file;
    char *bytes;
    size_t length, pauses[EVENTS_MAX]; /* where an event begins, but the first */
    int pause_count;
};

static struct answer answers[ANSWERS_MAX];
static int answer_count;

static void die(const char *what) { perror(what); exit(1); }

#define USAGE "\"usage\":{\"input_tokens\":10,\"input_tokens_details\":{\"image_tokens\":0,\"text_tokens\":10}," \
    "\"output_tokens\":%d,\"output_tokens_details\":{\"image_tokens\":%d,\"text_tokens\":0},\"total_tokens\":%d}"
#define LOOK "\"size\":\"1024x1024\",\"quality\":\"low\",\"background\":\"opaque\",\"output_format\":\"png\""

/* Base64 that looks like a picture's: a fixed noise of all 64 letters, a multiple of four of them. */
static char *pixels(char *at, size_t length) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned state = 1;
    for (size_t i = 0; i < length; i++) {
        state = state * 1664525u + 1013904223u;
        at[i] = letters[state >> 26];
    }
    return at + length;
}

/* A JSON answer of `size` bytes with `n` pictures of equal size; blanks make up what base64 cannot. */
static size_t json_body(char *out, size_t size, int n) {
    char tail[512];
    int tokens = 196 * n;
    int tail_length = sprintf(tail, "]," LOOK "," USAGE "}", tokens, tokens, tokens + 10);
    size_t fixed = strlen("{\"created\":1764000000,\"data\":[") + (size_t)tail_length + (size_t)n * strlen("{\"b64_json\":\"\"},") - 1;
    size_t each = size > fixed ? (size - fixed) / (size_t)n / 4 * 4 : 4;
    char *at = out + sprintf(out, "{\"created\":1764000000,\"data\":[");
    for (int i = 0; i < n; i++) {
        at += sprintf(at, "%s{\"b64_json\":\"", i ? "," : "");
        at = pixels(at, each);
        at += sprintf(at, "\"}");
    }
    while ((size_t)(at - out) + (size_t)tail_length < size) *at++ = ' ';
    return (size_t)(at - out) + (size_t)sprintf(at, "%s", tail);
}

/* The events of a stream, each a chunk of chunked framing of its own. */
static size_t sse_body(char *out, struct answer *answer, size_t head) {
    static char event[2200000];
    char *at = out;
    for (int i = 0; i < 4; i++) {
        const char *type = i < 3 ? "image_generation.partial_image" : "image_generation.completed";
        char *end = event + sprintf(event, "event: %s\ndata: {\"type\":\"%s\",\"created_at\":1764000000," LOOK ",", type, type);
        if (i < 3) end += sprintf(end, "\"partial_image_index\":%d,", i);
        end += sprintf(end, "\"b64_json\":\"");
        end = pixels(end, i < 3 ? 1500000 : 2000000);
        *end++ = '"';
        if (i == 3) end += sprintf(end, "," USAGE, 496, 496, 506);
        end += sprintf(end, "}\n\n");
        if (i) answer->pauses[answer->pause_count++] = head + (size_t)(at - out);
        at += sprintf(at, "%zx\r\n", (size_t)(end - event));
        memcpy(at, event, (size_t)(end - event));
        at += end - event;
        at += sprintf(at, "\r\n");
    }
    return (size_t)(at - out) + (size_t)sprintf(at, "0\r\n\r\n");
}

/* The answer a prompt asks for, made at its first use; an unknown prompt is answered with 2 KB. */
static struct answer *answer_for(const char *prompt) {
    for (int i = 0; i < answer_count; i++)
        if (!strcmp(answers[i].prompt, prompt)) return &answers[i];
    if (answer_count == ANSWERS_MAX) die("too many kinds of answers");
    struct answer *made = &answers[answer_count++];
    snprintf(made->prompt, sizeof made->prompt, "%s", prompt);
    double number = 2;
    char unit = 'K';
    const char *n = strstr(prompt, "n=");
    int is_sse = !strncmp(prompt, "sse", 3), count = n ? atoi(n + 2) : 1;
    if (!is_sse && sscanf(prompt, "%lf%c", &number, &unit) < 2) number = 2, unit = 'K';
    size_t size = is_sse ? 6600000 : (size_t)(number * (unit == 'M' ? 1e6 : 1e3)), body;
    if (size < JSON_BYTES_MIN || size > 100000000) die("a size out of bounds");
    made->file = memfd_create("answer", 0);
    if (made->file < 0 || ftruncate(made->file, (off_t)size + 4096)) die("memfd");
    made->bytes = mmap(NULL, size + 4096, PROT_READ | PROT_WRITE, MAP_SHARED, made->file, 0);
    if (made->bytes == MAP_FAILED) die("mmap");
    int head = sprintf(made->bytes, "HTTP/1.1 200 OK\r\nserver: bench\r\nx-zenmux-requestid: bench-0001\r\n");
    if (is_sse) {
        head += sprintf(made->bytes + head, "content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n");
        body = sse_body(made->bytes + head, made, (size_t)head);
    } else {
        head += sprintf(made->bytes + head, "content-type: application/json\r\ncontent-length: %zu\r\n\r\n", size);
        body = json_body(made->bytes + head, size, count < 1 || count > 10 ? 1 : count);
    }
    made->length = (size_t)head + body;
    return made;
}
