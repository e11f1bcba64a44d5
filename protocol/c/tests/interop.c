/*
 * Sends numbered rows to a server on this machine over connections that break, until every one is acknowledged as
 * durable. What was not answered is kept and sent again over the next connection.
 *
 *     interop PORT binary|text DATABASE BATCHES PRODUCER
 *
 * Prints how many connections it took, how many batches were duplicates, and how many rows were refused.
 */
#define EDGETIME_IMPLEMENTATION
#include "../edgetime.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define WINDOW 8
#define BATCH_ROWS 3
#define FRAME_BYTES 512
#define START INT64_C(1700000000000000000)
#define SILENCE_SECONDS 3

static int port;
static const char *database;
static int link_fd = -1;
static unsigned connections, duplicates, refused_rows;
static uint64_t producer;

static void die(const char *why) {
    fprintf(stderr, "interop: %s\n", why);
    exit(1);
}

static void hang_up(void) {
    if (link_fd >= 0) {
        close(link_fd);
        link_fd = -1;
    }
}

static void dial(void) {
    struct sockaddr_in address;
    struct timeval silence = {SILENCE_SECONDS, 0};
    hang_up();
    if (++connections > 100000) {
        die("no connection lasts");
    }
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_port = htons((uint16_t)port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    link_fd = socket(AF_INET, SOCK_STREAM, 0);
    if (link_fd < 0 || connect(link_fd, (struct sockaddr *)&address, sizeof address) != 0) {
        die("nobody listens");
    }
    setsockopt(link_fd, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof silence);
}

/* Whether all of it was sent. */
static int put(const void *bytes, size_t length) {
    const char *at = bytes;
    while (length > 0) {
        ssize_t sent = send(link_fd, at, length, 0);
        if (sent <= 0) {
            return 0;
        }
        at += sent;
        length -= (size_t)sent;
    }
    return 1;
}

/* What arrived and was not taken. */
static uint8_t inbox[4096];
static size_t arrived;

static int get(void) {
    ssize_t got = arrived == sizeof inbox ? 0 : recv(link_fd, inbox + arrived, sizeof inbox - arrived, 0);
    if (got <= 0) {
        return 0;
    }
    arrived += (size_t)got;
    return 1;
}

static void taken(size_t length) {
    arrived -= length;
    memmove(inbox, inbox + length, arrived);
}

/* A batch that waits for its answer. */
static struct {
    uint8_t frame[FRAME_BYTES];
    size_t length;
    uint32_t request; /* 0: not sent on this connection */
    int is_waiting;
} window[WINDOW];

struct sample {
    int64_t time;
    double value;
    int32_t number;
    uint32_t series;
    uint8_t has_no_text;
};

/* Rows of a batch; every request number is the batch's own, so that it may be sent as it is over any connection. */
static void make_batch(unsigned batch) {
    unsigned slot = batch % WINDOW, i;
    struct sample samples[BATCH_ROWS];
    et_bytes texts[BATCH_ROWS];
    et_values series = {&samples[0].series, sizeof *samples, ET_U32};
    et_values times = {&samples[0].time, sizeof *samples, ET_I64};
    et_values values = {&samples[0].value, sizeof *samples, ET_F64};
    et_values numbers = {&samples[0].number, sizeof *samples, ET_I32};
    et_values missing = {&samples[0].has_no_text, sizeof *samples, ET_U8};
    et_out out;
    for (i = 0; i < BATCH_ROWS; i++) {
        int32_t at = (int32_t)(batch * BATCH_ROWS + i);
        samples[i].time = START + at;
        samples[i].value = at / 4.0;
        samples[i].number = at;
        samples[i].series = i;
        samples[i].has_no_text = at % 2 == 0;
        texts[i].bytes = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz";
        texts[i].length = (size_t)at % 40;
    }
    et_init(&out, window[slot].frame, FRAME_BYTES);
    et_batch(&out, batch + 1, ET_ACK_DURABLE, producer, batch + 1, 2);
    et_rows(&out, 0, BATCH_ROWS, series, &times, 3);
    et_column(&out, ET_FLOAT, values, NULL);
    et_column(&out, ET_INTEGER, numbers, NULL);
    et_column_bytes(&out, ET_STRING, texts, sizeof *texts, &missing);
    /* And a row without a time. */
    et_rows(&out, 1, 1, series, NULL, 1);
    et_column(&out, ET_INTEGER, numbers, NULL);
    if (et_end(&out) != ET_OK) {
        die("a batch that does not fit");
    }
    window[slot].length = out.used;
    window[slot].request = 0;
    window[slot].is_waiting = 1;
}

/* What the names mean on every connection. */
static size_t declare(uint8_t *bytes, size_t room) {
    static const et_field fields[] = {{ET_FLOAT, "v"}, {ET_INTEGER, "n"}, {ET_STRING, "text"}};
    static const et_field count[] = {{ET_INTEGER, "n"}};
    et_out out;
    unsigned i;
    et_init(&out, bytes, room);
    et_declare(&out);
    et_table(&out, database, "m");
    et_layout(&out, 0, fields, 3);
    et_layout(&out, 0, count, 1);
    for (i = 0; i < BATCH_ROWS; i++) {
        et_pair tag = {"s", NULL};
        char name[2] = {(char)('0' + i), 0};
        tag.value = name;
        et_series(&out, 0, &tag, 1);
    }
    if (et_end(&out) != ET_OK) {
        die("declarations that do not fit");
    }
    return out.used;
}

/* Obeys what has arrived; false where the connection is over. */
static int obey(et_session *session, unsigned *answered) {
    for (;;) {
        et_event event;
        et_refused refused;
        uint8_t pong[ET_HEADER];
        et_out out;
        unsigned slot;
        int32_t length = et_take(session, inbox, arrived, &event);
        if (length == 0) {
            return 1;
        }
        if (length < 0) {
            return 0;
        }
        switch (event.kind) {
        case ET_WRITTEN:
            slot = (event.request - 1) % WINDOW;
            if (!window[slot].is_waiting || window[slot].request != event.request) {
                die("an answer to nothing");
            }
            memset(&refused, 0, sizeof refused);
            while (et_next_refused(&event, &refused)) {
                refused_rows++;
            }
            duplicates += event.duplicate;
            window[slot].is_waiting = 0;
            ++*answered;
            break;
        case ET_PING:
            et_init(&out, pong, sizeof pong);
            if (et_pong(&out, event.request) != ET_OK || !put(pong, sizeof pong)) {
                return 0;
            }
            break;
        case ET_ERROR:
            if (!et_is_retryable(event.code)) {
                fprintf(stderr, "%.*s\n", (int)event.message_length, event.message);
                die("an error that no retry mends");
            }
            return 0;
        default:
            break;
        }
        taken((size_t)length);
    }
}

static void run_binary(unsigned batches) {
    et_session session;
    uint8_t names[512], hello[128];
    size_t names_length = declare(names, sizeof names);
    unsigned made = 0, answered = 0, i;
    while (answered < batches) {
        et_out out;
        int is_declared = 0;
        dial();
        arrived = 0;
        for (i = 0; i < WINDOW; i++) {
            window[i].request = 0;
        }
        et_init(&out, hello, sizeof hello);
        et_open(&session, &out, ET_WRITES | ET_PRODUCERS | ET_KEEP_ALIVE, "interop", "");
        if (!put(hello, out.used)) {
            continue;
        }
        while (answered < batches && get() && obey(&session, &answered)) {
            unsigned batch, oldest = made > WINDOW ? made - WINDOW : 0;
            int is_open = 1;
            if (session.is_open && producer != 0 && (session.features & ET_PRODUCERS) == 0) {
                die("a server without producers");
            }
            while (made < batches && !window[made % WINDOW].is_waiting) {
                make_batch(made++);
            }
            oldest = made > WINDOW ? made - WINDOW : 0;
            for (batch = oldest; batch < made && is_open && et_may_write(&session); batch++) {
                unsigned slot = batch % WINDOW;
                if (!window[slot].is_waiting || window[slot].request != 0) {
                    continue;
                }
                if (!is_declared) {
                    is_declared = 1;
                    is_open = put(names, names_length);
                    et_sent(&session, names_length);
                }
                window[slot].request = batch + 1;
                is_open = is_open && put(window[slot].frame, window[slot].length);
                et_sent(&session, window[slot].length);
            }
            if (!is_open) {
                break;
            }
        }
    }
}

static void run_text(unsigned batches) {
    unsigned answered = 0, rows = batches * BATCH_ROWS;
    while (answered < rows) {
        unsigned said = answered;
        uint8_t bytes[1024];
        char words[80];
        et_out out;
        dial();
        arrived = 0;
        et_init(&out, bytes, sizeof bytes);
        snprintf(words, sizeof words, "db %s", database);
        if (et_directive(&out, words) != ET_OK || et_directive(&out, "ack durable") != ET_OK || !put(bytes, out.used)) {
            continue;
        }
        while (answered < rows) {
            et_answer answer;
            int32_t length;
            out.used = 0;
            for (; said < rows && said < answered + WINDOW * BATCH_ROWS && out.used < 700; said++) {
                char series[2] = {(char)('0' + said % BATCH_ROWS), 0};
                et_line(&out, "m");
                et_tag(&out, "s", series);
                et_field_double(&out, "v", said / 4.0);
                et_field_integer(&out, "n", (int64_t)said);
                et_time(&out, START + (int64_t)said);
                if (et_end(&out) != ET_OK) {
                    die("a line that does not fit");
                }
            }
            if (!put(bytes, out.used)) {
                break;
            }
            while ((length = et_read_answer(inbox, arrived, &answer)) > 0) {
                if (answer.kind == '-') {
                    refused_rows++;
                } else if (answer.kind == '+') {
                    answered += (unsigned)answer.number;
                }
                taken((size_t)length);
            }
            if (length < 0) {
                die("an answer that is none");
            }
            if (answered < rows && !get()) {
                break;
            }
        }
    }
}

int main(int argc, char **argv) {
    unsigned batches;
    if (argc != 6) {
        die("interop PORT binary|text DATABASE BATCHES PRODUCER");
    }
    signal(SIGPIPE, SIG_IGN);
    port = atoi(argv[1]);
    database = argv[3];
    batches = (unsigned)atoi(argv[4]);
    producer = strtoull(argv[5], NULL, 10);
    if (strcmp(argv[2], "binary") == 0) {
        run_binary(batches);
    } else {
        run_text(batches);
    }
    hang_up();
    printf("%u connections, %u duplicates, %u refused\n", connections, duplicates, refused_rows);
    return 0;
}
