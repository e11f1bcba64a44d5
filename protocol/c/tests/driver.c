/*
 * Runs the client as a test tells it on standard input, one command a line, words separated by spaces, texts in
 * hexadecimal ("-": empty); each has one line of answer. Every buffer is as large as what it holds, so that the
 * address sanitizer sees a byte too many, and whatever is written is written again into every smaller buffer.
 */
#define EDGETIME_IMPLEMENTATION
#include "../edgetime.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *input;  /* the line */
static char *rest;   /* what of it is not read */
static void *owned[1 << 20];
static size_t owned_count;

static void fail(const char *why) {
    fprintf(stderr, "driver: %s\n", why);
    exit(2);
}

static void *allocate(size_t bytes) {
    void *memory = malloc(bytes > 0 ? bytes : 1);
    if (memory == NULL || owned_count == sizeof owned / sizeof *owned) {
        fail("memory");
    }
    owned[owned_count++] = memory;
    return memory;
}

static void release(void) {
    while (owned_count > 0) {
        free(owned[--owned_count]);
    }
}

static char *word(void) {
    char *begin = rest;
    if (*begin == 0) {
        fail("a command that ends early");
    }
    while (*rest != 0 && *rest != ' ') {
        rest++;
    }
    if (*rest == ' ') {
        *rest++ = 0;
    }
    return begin;
}

static int64_t number(void) {
    return strtoll(word(), NULL, 10);
}

static uint64_t natural(void) {
    return strtoull(word(), NULL, 10);
}

/* The bytes of a hexadecimal word, in a block of exactly their size. */
static uint8_t *bytes(size_t *length) {
    char *text = word();
    size_t i;
    uint8_t *out;
    *length = *text == '-' ? 0 : strlen(text) / 2;
    out = malloc(*length > 0 ? *length : 1);
    if (out == NULL || owned_count == sizeof owned / sizeof *owned) {
        fail("memory");
    }
    owned[owned_count++] = out;
    for (i = 0; i < *length; i++) {
        unsigned byte;
        if (sscanf(text + 2 * i, "%2x", &byte) != 1) {
            fail("not hexadecimal");
        }
        out[i] = (uint8_t)byte;
    }
    return out;
}

static char *text(void) {
    size_t length;
    uint8_t *from = bytes(&length);
    char *out = allocate(length + 1);
    memcpy(out, from, length);
    out[length] = 0;
    return out;
}

static void print_hex(const void *from, size_t length) {
    size_t i;
    for (i = 0; i < length; i++) {
        printf("%02x", ((const uint8_t *)from)[i]);
    }
    if (length == 0) {
        printf("-");
    }
}

/* Fields and columns by their types. */
typedef struct {
    uint8_t type;
    const char *name;
    et_values values;
    et_values missing;
    const et_bytes *strings;
    unsigned scale;
    int is_decimal, has_missing;
} column;

typedef struct {
    uint32_t layout;
    size_t rows;
    et_values series, times;
    int has_times;
    unsigned columns;
    column *column;
} section;

static et_values source(size_t rows, uint8_t kind) {
    /* Some values in an array of their own, some a member of a struct: steps differ. */
    static size_t gap;
    et_values values;
    size_t size = kind == ET_I8 || kind == ET_U8 ? 1 : kind == ET_I16 || kind == ET_U16 ? 2
                : kind == ET_I32 || kind == ET_U32 || kind == ET_F32 ? 4 : 8, row;
    uint8_t *memory;
    values.kind = kind;
    values.step = size * (1 + gap++ % 3);
    memory = allocate(rows == 0 ? 0 : (rows - 1) * values.step + size);
    values.first = memory;
    for (row = 0; row < rows; row++) {
        char *value = word();
        void *at = memory + row * values.step;
        int64_t i = strtoll(value, NULL, 10);
        uint64_t u = strtoull(value, NULL, 10);
        if (kind == ET_F64 || kind == ET_F32) {
            uint64_t bits = strtoull(value, NULL, 16);
            double d;
            float f;
            memcpy(&d, &bits, 8);
            f = (float)d;
            memcpy(at, kind == ET_F64 ? (void *)&d : (void *)&f, size);
        } else if (kind == ET_I8) {
            *(int8_t *)at = (int8_t)i;
        } else if (kind == ET_I16) {
            *(int16_t *)at = (int16_t)i;
        } else if (kind == ET_I32) {
            *(int32_t *)at = (int32_t)i;
        } else if (kind == ET_I64) {
            memcpy(at, &i, 8);
        } else if (kind == ET_U8) {
            *(uint8_t *)at = (uint8_t)u;
        } else if (kind == ET_U16) {
            *(uint16_t *)at = (uint16_t)u;
        } else if (kind == ET_U32) {
            *(uint32_t *)at = (uint32_t)u;
        } else {
            memcpy(at, &u, 8);
        }
    }
    return values;
}

/* What a command writes, kept so that it can be written into buffers of any size. */
static struct {
    enum { LINE, HELLO, AUTH, PING, PONG, DECLARE, WRITE, DIRECTIVE } what;
    char *words[4];
    uint64_t features;
    uint32_t request;
    size_t tags, fields;
    et_pair *tag;
    struct {
        char kind, *key;
        int64_t i;
        uint64_t u;
        double d;
        unsigned scale;
        uint8_t *bytes;
        size_t length;
    } *field;
    int has_time;
    int64_t time;
    size_t declarations;
    struct {
        unsigned kind;
        char *database, *measurement;
        uint32_t table;
        size_t count;
        et_pair *tags;
        et_field *fields;
    } *declaration;
    unsigned ack;
    uint64_t producer, sequence;
    unsigned sections;
    section *section;
} job;

static int perform(et_out *out) {
    size_t i;
    unsigned j;
    switch (job.what) {
    case HELLO:
        return et_hello(out, job.features, job.words[0], job.words[1]);
    case AUTH:
        return et_auth(out, job.request, job.words[0]);
    case PING:
        return et_ping(out, job.request);
    case PONG:
        return et_pong(out, job.request);
    case DIRECTIVE:
        return et_directive(out, job.words[0]);
    case LINE:
        et_line(out, job.words[0]);
        for (i = 0; i < job.tags; i++) {
            et_tag(out, job.tag[i].key, job.tag[i].value);
        }
        for (i = 0; i < job.fields; i++) {
            const char *key = job.field[i].key;
            switch (job.field[i].kind) {
            case 'd':
                et_field_double(out, key, job.field[i].d);
                break;
            case 'f':
                et_field_float(out, key, (float)job.field[i].d);
                break;
            case 'm':
                et_field_decimal(out, key, job.field[i].i, job.field[i].scale);
                break;
            case 'i':
                et_field_integer(out, key, job.field[i].i);
                break;
            case 'u':
                et_field_unsigned(out, key, job.field[i].u);
                break;
            case 'b':
                et_field_boolean(out, key, (int)job.field[i].i);
                break;
            default:
                et_field_string(out, key, (const char *)job.field[i].bytes, job.field[i].length);
            }
        }
        if (job.has_time) {
            et_time(out, job.time);
        }
        return et_end(out);
    case DECLARE:
        et_declare(out);
        for (i = 0; i < job.declarations; i++) {
            switch (job.declaration[i].kind) {
            case 1:
                et_table(out, job.declaration[i].database, job.declaration[i].measurement);
                break;
            case 2:
                et_layout(out, job.declaration[i].table, job.declaration[i].fields, job.declaration[i].count);
                break;
            case 3:
                et_series(out, job.declaration[i].table, job.declaration[i].tags, job.declaration[i].count);
                break;
            default:
                et_forget(out);
            }
        }
        return et_end(out);
    default:
        et_batch(out, job.request, job.ack, job.producer, job.sequence, job.sections);
        for (i = 0; i < job.sections; i++) {
            section *one = &job.section[i];
            et_rows(out, one->layout, one->rows, one->series, one->has_times ? &one->times : NULL, one->columns);
            for (j = 0; j < one->columns; j++) {
                column *of = &one->column[j];
                const et_values *missing = of->has_missing ? &of->missing : NULL;
                if (of->strings != NULL) {
                    et_column_bytes(out, of->type, of->strings, sizeof(et_bytes), missing);
                } else if (of->is_decimal) {
                    et_column_decimal(out, of->values, of->scale, missing);
                } else {
                    et_column(out, of->type, of->values, missing);
                }
            }
        }
        return et_end(out);
    }
}

/* Prints what the job writes, or its error. */
static void write_job(void) {
    static uint8_t large[3 << 20];
    size_t used, smaller, step;
    et_out out;
    int error;
    et_init(&out, large, sizeof large);
    error = perform(&out);
    if (error != ET_OK) {
        if (out.used != 0) {
            fail("bytes of what failed are left");
        }
        printf("error %d\n", error);
        return;
    }
    used = out.used;
    step = used / 300 + 1;
    for (smaller = used % step; smaller <= used; smaller += step) {
        uint8_t *buffer = malloc(smaller > 0 ? smaller : 1);
        et_init(&out, buffer, smaller);
        error = perform(&out);
        if (smaller < used ? error != ET_NO_ROOM || out.used != 0 : error != ET_OK || out.used != used) {
            fail("a smaller buffer");
        }
        if (smaller == used && memcmp(buffer, large, used) != 0) {
            fail("the same twice differs");
        }
        free(buffer);
    }
    printf("ok ");
    print_hex(large, used);
    printf("\n");
}

static void read_line(void) {
    size_t i;
    job.what = LINE;
    job.words[0] = text();
    job.tags = natural();
    job.tag = allocate(job.tags * sizeof *job.tag);
    for (i = 0; i < job.tags; i++) {
        job.tag[i].key = text();
        job.tag[i].value = text();
    }
    job.fields = natural();
    job.field = allocate(job.fields * sizeof *job.field);
    for (i = 0; i < job.fields; i++) {
        job.field[i].kind = *word();
        job.field[i].key = text();
        switch (job.field[i].kind) {
        case 'd':
        case 'f': {
            uint64_t bits = strtoull(word(), NULL, 16);
            memcpy(&job.field[i].d, &bits, 8);
            break;
        }
        case 'm':
            job.field[i].i = number();
            job.field[i].scale = (unsigned)natural();
            break;
        case 'u':
            job.field[i].u = natural();
            break;
        case 's':
            job.field[i].bytes = bytes(&job.field[i].length);
            break;
        default:
            job.field[i].i = number();
        }
    }
    job.has_time = *rest != 0;
    job.time = job.has_time ? number() : 0;
}

static void read_declarations(void) {
    size_t i, j;
    job.what = DECLARE;
    job.declarations = natural();
    job.declaration = allocate(job.declarations * sizeof *job.declaration);
    for (i = 0; i < job.declarations; i++) {
        job.declaration[i].kind = (unsigned)natural();
        if (job.declaration[i].kind == 1) {
            job.declaration[i].database = text();
            job.declaration[i].measurement = text();
        } else if (job.declaration[i].kind < 4) {
            job.declaration[i].table = (uint32_t)natural();
            job.declaration[i].count = natural();
            job.declaration[i].fields = allocate(job.declaration[i].count * sizeof(et_field));
            job.declaration[i].tags = allocate(job.declaration[i].count * sizeof(et_pair));
            for (j = 0; j < job.declaration[i].count; j++) {
                if (job.declaration[i].kind == 2) {
                    job.declaration[i].fields[j].type = (uint8_t)natural();
                    job.declaration[i].fields[j].name = text();
                } else {
                    job.declaration[i].tags[j].key = text();
                    job.declaration[i].tags[j].value = text();
                }
            }
        }
    }
}

static void read_column(column *of, size_t rows) {
    size_t row;
    memset(of, 0, sizeof *of);
    of->type = (uint8_t)natural();
    of->has_missing = *word() == 'm';
    if (of->has_missing) {
        of->missing = source(rows, ET_U8);
    }
    if (of->type == ET_STRING || of->type == ET_BINARY) {
        et_bytes *strings = allocate(rows * sizeof *strings);
        for (row = 0; row < rows; row++) {
            strings[row].bytes = bytes(&strings[row].length);
        }
        of->strings = strings;
        return;
    }
    of->is_decimal = *rest == 'x';
    if (of->is_decimal) {
        (void)word();
        of->scale = (unsigned)natural();
    }
    of->values = source(rows, (uint8_t)natural());
}

/* `source` reads the kind first where it may vary. */
static void read_batch(void) {
    size_t i, j;
    job.what = WRITE;
    job.request = (uint32_t)natural();
    job.ack = (unsigned)natural();
    job.producer = natural();
    job.sequence = natural();
    job.sections = (unsigned)natural();
    job.section = allocate(job.sections * sizeof *job.section);
    for (i = 0; i < job.sections; i++) {
        section *one = &job.section[i];
        one->layout = (uint32_t)natural();
        one->rows = natural();
        one->columns = (unsigned)natural();
        one->series = source(one->rows, ET_U32);
        one->has_times = *word() == 't';
        if (one->has_times) {
            one->times = source(one->rows, ET_I64);
        }
        one->column = allocate(one->columns * sizeof(column));
        for (j = 0; j < one->columns; j++) {
            read_column(&one->column[j], one->rows);
        }
    }
}

static void print_event(const et_event *event) {
    et_refused refused;
    memset(&refused, 0, sizeof refused);
    printf("event %u %u", event->kind, (unsigned)event->request);
    switch (event->kind) {
    case ET_WELCOME:
        printf(" %llu ", (unsigned long long)event->features);
        print_hex(event->message, event->message_length);
        printf(" %u", (unsigned)event->payload_max);
        break;
    case ET_ERROR:
        printf(" %u ", event->code);
        print_hex(event->message, event->message_length);
        break;
    case ET_CREDITS:
        printf(" %u", (unsigned)event->bytes);
        break;
    case ET_WRITTEN:
        printf(" %u %u %llu %llu", event->ack, event->duplicate, (unsigned long long)event->position,
               (unsigned long long)event->rows);
        while (et_next_refused(event, &refused)) {
            printf(" %u:%u:", (unsigned)refused.row, refused.code);
            print_hex(refused.message, refused.message_length);
        }
        break;
    default:
        break;
    }
}

/* take OPEN HEX: every shorter input is incomplete, and what is complete is told. */
static void take(void) {
    int is_open = *word() == '1';
    size_t length, shorter;
    uint8_t *from = bytes(&length);
    et_session session;
    et_event event;
    int32_t taken;
    for (shorter = 0; shorter < length; shorter++) {
        uint8_t *cut = malloc(shorter > 0 ? shorter : 1);
        memcpy(cut, from, shorter);
        memset(&session, 0, sizeof session);
        session.is_open = (uint8_t)is_open;
        taken = et_take(&session, cut, shorter, &event);
        free(cut);
        if (taken > 0) {
            fail("a frame that was not complete");
        }
    }
    memset(&session, 0, sizeof session);
    session.is_open = (uint8_t)is_open;
    session.features = ET_WRITES | ET_KEEP_ALIVE;
    taken = et_take(&session, from, length, &event);
    if (taken < 0) {
        printf("error %d\n", (int)taken);
    } else if ((size_t)taken != length) {
        printf("took %d\n", (int)taken);
    } else {
        print_event(&event);
        printf("\n");
    }
}

static void answer(void) {
    size_t length, shorter;
    uint8_t *from = bytes(&length);
    et_answer one;
    int32_t taken = 0;
    for (shorter = 0; shorter <= length; shorter++) {
        uint8_t *cut = malloc(shorter > 0 ? shorter : 1);
        memcpy(cut, from, shorter);
        taken = et_read_answer(cut, shorter, &one);
        free(cut);
        if (shorter < length && taken > 0) {
            fail("an answer that was not complete");
        }
    }
    taken = et_read_answer(from, length, &one);
    if (taken <= 0) {
        printf("error %d\n", (int)taken);
        return;
    }
    printf("answer %c %u %llu %llu ", one.kind, one.retryable, (unsigned long long)one.position,
           (unsigned long long)one.number);
    print_hex(one.code, one.code_length);
    printf(" ");
    print_hex(one.message, one.message_length);
    printf("\n");
}

/* upset SEED ROUNDS HEX: bytes of a valid frame changed by chance, its checksum made right again. */
static void upset(void) {
    uint64_t seed = natural() | 1, rounds = natural(), understood = 0;
    size_t length, i;
    uint8_t *from = bytes(&length);
    while (rounds-- > 0) {
        size_t size = length;
        uint8_t *changed;
        et_session session;
        et_event event;
        et_refused refused;
        unsigned changes;
        seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
        if (seed % 4 == 0) {
            size = ET_HEADER + (seed >> 8) % (length - ET_HEADER + 1);
        }
        changed = malloc(size);
        memcpy(changed, from, size);
        for (changes = (unsigned)(seed >> 40) % 4; changes > 0; changes--) {
            seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
            i = (seed >> 16) % size;
            changed[i] = (uint8_t)(seed >> 50);
        }
        if (seed % 16 != 0) {
            et__store(changed, size - ET_HEADER, 4);
            changed[5] = changed[6] = changed[7] = 0;
            et__store(changed + 12, et__crc(et__crc(0, changed, 12), changed + ET_HEADER, size - ET_HEADER), 4);
        }
        memset(&session, 0, sizeof session);
        memset(&refused, 0, sizeof refused);
        session.is_open = seed % 8 != 0;
        if (et_take(&session, changed, size, &event) > 0) {
            understood++;
            while (event.kind == ET_WRITTEN && et_next_refused(&event, &refused)) {
                if (refused.row >= ET_ROWS_MAX) {
                    fail("a row that no batch has");
                }
            }
        }
        free(changed);
    }
    printf("understood %llu\n", (unsigned long long)understood);
}

int main(void) {
    size_t room = (size_t)64 << 20;
    input = malloc(room);
    while (input != NULL && fgets(input, (int)room, stdin) != NULL) {
        char *command;
        input[strcspn(input, "\n")] = 0;
        rest = input;
        command = word();
        memset(&job, 0, sizeof job);
        if (strcmp(command, "take") == 0) {
            take();
        } else if (strcmp(command, "answer") == 0) {
            answer();
        } else if (strcmp(command, "upset") == 0) {
            upset();
        } else {
            if (strcmp(command, "line") == 0) {
                read_line();
            } else if (strcmp(command, "declare") == 0) {
                read_declarations();
            } else if (strcmp(command, "write") == 0) {
                read_batch();
            } else if (strcmp(command, "hello") == 0) {
                job.what = HELLO;
                job.features = natural();
                job.words[0] = text();
                job.words[1] = text();
            } else if (strcmp(command, "auth") == 0) {
                job.what = AUTH;
                job.request = (uint32_t)natural();
                job.words[0] = text();
            } else if (strcmp(command, "directive") == 0) {
                job.what = DIRECTIVE;
                job.words[0] = text();
            } else if (strcmp(command, "ping") == 0 || strcmp(command, "pong") == 0) {
                job.what = command[1] == 'i' ? PING : PONG;
                job.request = (uint32_t)natural();
            } else {
                fail(command);
            }
            write_job();
        }
        fflush(stdout);
        release();
    }
    free(input);
    return 0;
}
