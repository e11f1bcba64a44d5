/*
 * Client of EdgeTimeDB for microcontrollers: line protocol and binary batches written into a buffer of the caller's, and
 * the server's answers read. C99 (and C++), one file, no allocation, no input or output, no static data that changes,
 * nothing of the standard library but freestanding headers. README.md shows how it is used; ../SPEC.md is the norm.
 *
 * In exactly one file, before the #include:
 *
 *     #define EDGETIME_IMPLEMENTATION
 *
 * With EDGETIME_NO_DOUBLE (a compiler whose double has 32 bits, or none at all) values are integers and decimals only.
 *
 * Writing: every call appends to an et_out. The first error is kept, later calls do nothing, and et_end tells it and
 * takes back what the line or frame had appended, so that only et_end has to be checked.
 */
#ifndef EDGETIME_H
#define EDGETIME_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What calls return where they do not return a length. */
#define ET_OK 0
#define ET_NO_ROOM (-1)    /* the buffer is too small; nothing is wrong with the content */
#define ET_BAD_NAME (-2)   /* empty, with a control character, a backslash at its end, or a measurement that begins with # */
#define ET_BAD_TEXT (-3)   /* not UTF-8 */
#define ET_NOT_FINITE (-4) /* line protocol has no infinities and no NaN */
#define ET_TAG_ORDER (-5)  /* tags of a line must ascend by key, each key once */
#define ET_NO_FIELD (-6)   /* a row needs a value */
#define ET_TOO_LARGE (-7)  /* more rows, cells, bytes or scale than a batch or decimal may have */
#define ET_MISUSE (-8)     /* calls out of order */
#define ET_BAD_FRAME (-9)  /* the server's bytes are no frame, message or answer: close the connection */

/* Levels of acknowledgement. */
#define ET_ACK_NONE 0
#define ET_ACK_ACCEPTED 1
#define ET_ACK_DURABLE 2

/* Features, agreed in hello and welcome. */
#define ET_WRITES 1u
#define ET_PRODUCERS 2u
#define ET_KEEP_ALIVE 4u

/* Types of fields. */
#define ET_FLOAT 1
#define ET_INTEGER 2
#define ET_UNSIGNED 3
#define ET_BOOLEAN 4
#define ET_STRING 5
#define ET_BINARY 6

/* Codes that a program may want to tell apart; SPEC.md, section 3, has all of them. */
#define ET_CODE_NOT_AUTHENTICATED 40
#define ET_CODE_BAD_FRAME 81
#define ET_CODE_BUSY 100
#define ET_CODE_FULL 101
#define ET_CODE_SHUTTING_DOWN 102

/* Whether the same rows may be sent again, later. */
int et_is_retryable(unsigned code);

/* Where lines and frames go. */
typedef struct {
    uint8_t *bytes;   /* the caller's buffer */
    size_t room;      /* its size */
    size_t used;      /* what of it is written; set to 0 to begin anew */
    size_t begin;     /* where the line or frame began */
    const char *tag;  /* the last tag's key: keys must stay where they are until et_end */
    uint32_t rows;    /* of the section */
    uint32_t batch_rows, batch_cells;
    uint16_t columns, sections; /* that are still to come */
    int16_t error;
    uint8_t state;
} et_out;

void et_init(et_out *out, void *buffer, size_t room);

/* Ends a line or frame. ET_OK, or the first error since it began; then nothing of it is in the buffer. */
int et_end(et_out *out);

/* Line protocol. A row is et_line, tags, at least one field, perhaps et_time, et_end. */
void et_line(et_out *out, const char *measurement);
void et_tag(et_out *out, const char *key, const char *value);
void et_field_decimal(et_out *out, const char *key, int64_t mantissa, unsigned scale); /* mantissa / 10^scale, scale to 18 */
void et_field_integer(et_out *out, const char *key, int64_t value);
void et_field_unsigned(et_out *out, const char *key, uint64_t value);
void et_field_boolean(et_out *out, const char *key, int value);
void et_field_string(et_out *out, const char *key, const char *text, size_t length);
#ifndef EDGETIME_NO_DOUBLE
/* The shortest text that reads back as the same number; takes some 800 bytes of stack. */
void et_field_double(et_out *out, const char *key, double value);
void et_field_float(et_out *out, const char *key, float value);
#endif
void et_time(et_out *out, int64_t time); /* in the unit of the session; without it the server sets the time */
/* "#edge " and the words, one line: "db plant", "ack durable", "precision ms", "sync". Needs no et_end. */
int et_directive(et_out *out, const char *words);

/* An answer of a text session. */
typedef struct {
    uint8_t kind; /* '+' acknowledged, '-' refused, 's' synced, 'p' pong */
    uint8_t retryable;      /* '-': the line may be sent again */
    uint64_t position;      /* '+' and 's': everything before it has reached the level */
    uint64_t number;        /* '+': rows since the last one; '-': the line, counted from 1 */
    const char *code;       /* '-': its name */
    size_t code_length;
    const char *message;
    size_t message_length;
} et_answer;

/* Reads the answer that the bytes begin with. Returns its length; 0 where its end has not come yet; or ET_BAD_FRAME. */
int32_t et_read_answer(const void *bytes, size_t length, et_answer *answer);

/* Binary frames. */

/* Opens a connection: the magic byte and hello. */
int et_hello(et_out *out, uint64_t features, const char *client, const char *token);
int et_auth(et_out *out, uint32_t request, const char *token);
int et_ping(et_out *out, uint32_t request);
int et_pong(et_out *out, uint32_t request);

typedef struct {
    const char *key, *value;
} et_pair;

typedef struct {
    uint8_t type;
    const char *name;
} et_field;

/* Declarations: et_declare, any of the others, et_end. Each kind is numbered from 0 on, and a connection. */
void et_declare(et_out *out);
void et_table(et_out *out, const char *database, const char *measurement); /* database "": default */
void et_layout(et_out *out, uint32_t table, const et_field *fields, size_t count);
void et_series(et_out *out, uint32_t table, const et_pair *tags, size_t count);
void et_forget(et_out *out);

/* How values lie in memory. */
#define ET_I8 0
#define ET_I16 1
#define ET_I32 2
#define ET_I64 3
#define ET_U8 4
#define ET_U16 5
#define ET_U32 6
#define ET_U64 7
#define ET_F32 8
#define ET_F64 9

/* Values of a column: the first, and how many bytes lie between one and the next, so that a member of an array of
 * structs is a column. With step 0 all are the same. */
typedef struct {
    const void *first;
    size_t step;
    uint8_t kind;
} et_values;

typedef struct {
    const void *bytes;
    size_t length;
} et_bytes;

/* A batch: et_batch, sections, et_end. Producer 0: none. */
void et_batch(et_out *out, uint32_t request, unsigned ack, uint64_t producer, uint64_t sequence, unsigned sections);
/* A section, rows of one layout: series, times (NULL: the server's), then that many columns in the layout's order.
 * Where `missing` is not NULL, a row whose number there is not 0 has no value. */
void et_rows(et_out *out, uint32_t layout, size_t rows, et_values series, const et_values *times, unsigned columns);
void et_column(et_out *out, uint8_t type, et_values values, const et_values *missing); /* all but strings and binary */
void et_column_decimal(et_out *out, et_values mantissas, unsigned scale, const et_values *missing); /* a float column */
void et_column_bytes(et_out *out, uint8_t type, const et_bytes *first, size_t step, const et_values *missing);

/* What the server said in frames. Pointers point into the bytes that were read. */
#define ET_WELCOME 2
#define ET_PING 3  /* answer with et_pong and its request */
#define ET_PONG 4
#define ET_ERROR 5 /* of the request, or with request 0 of the connection */
#define ET_READY 7
#define ET_WRITTEN 34
#define ET_CREDITS 35

typedef struct {
    uint8_t kind;
    uint32_t request;
    unsigned code;            /* error */
    const char *message;      /* error; the server's name in a welcome */
    size_t message_length;
    uint8_t ack, duplicate;   /* written */
    uint64_t position, rows;  /* written */
    uint32_t reasons;         /* written: how many reasons have refused rows; et_next_refused has them */
    const uint8_t *refused, *refused_end;
    uint64_t features;        /* welcome */
    uint32_t payload_max;     /* welcome */
    uint32_t bytes;           /* credits */
} et_event;

/* Rows that were refused, one a call: 1, and 0 behind the last one. Begin with a zeroed et_refused. */
typedef struct {
    const uint8_t *at;
    uint32_t reason, left;
    unsigned code;
    uint32_t row; /* counted from 0 over all sections of the batch */
    const char *message; /* about the reason's first row */
    size_t message_length;
} et_refused;

int et_next_refused(const et_event *written, et_refused *refused);

/* A connection without its socket. */
typedef struct {
    uint64_t features; /* that were agreed */
    int64_t credits;   /* bytes that may be sent */
    uint32_t request;  /* the last number that was given out */
    uint8_t is_open;
} et_session;

/* Begins anew, and writes the first bytes of the connection. */
int et_open(et_session *session, et_out *out, uint64_t features, const char *client, const char *token);
uint32_t et_next_request(et_session *session);
/* Whether a batch may be sent now. */
int et_may_write(const et_session *session);
/* To be told of every frame of declarations or rows that was sent. */
void et_sent(et_session *session, size_t bytes);
/* Reads the frame that the bytes begin with. Returns its length; 0 where it is not complete; or ET_BAD_FRAME. A buffer of
 * 512 bytes is enough where no row is refused; a frame that is longer than the buffer never becomes complete. */
int32_t et_take(et_session *session, const void *bytes, size_t length, et_event *event);

#ifdef __cplusplus
}
#endif
#endif /* EDGETIME_H */

#ifdef EDGETIME_IMPLEMENTATION
#undef EDGETIME_IMPLEMENTATION

#ifdef __cplusplus
extern "C" {
#endif

/* int and size_t may have 16 bits: what can be beyond 65535 is of 32. */
#define ET_PAYLOAD_MAX ((uint32_t)0x100000ul)
#define ET_HEADER 16u
#define ET_ROWS_MAX ((uint32_t)65536ul)
#define ET_CELLS_MAX ((uint32_t)262144ul)
#define ET_GROUP 128u
#define ET_SCALE_MAX 22u
#define ET_MANTISSA_MAX ((uint64_t)1 << 53)

/* Small functions that are called from everywhere stay functions: some compilers copy them even when told to save room. */
#if defined(__GNUC__)
#define ET__APART __attribute__((noinline))
#else
#define ET__APART
#endif

/* Where a line or frame stands. */
enum { ET__IDLE, ET__TAGS, ET__FIELDS, ET__TIMED, ET__DECLARE, ET__BATCH, ET__OTHER };

int et_is_retryable(unsigned code) {
    return code >= ET_CODE_BUSY && code <= ET_CODE_SHUTTING_DOWN;
}

/* Bytes */

void et_init(et_out *out, void *buffer, size_t room) {
    out->bytes = (uint8_t *)buffer;
    out->room = room;
    out->used = 0;
    out->begin = 0;
    out->error = ET_OK;
    out->state = ET__IDLE;
}

static ET__APART void et__fail(et_out *out, int error) {
    if (out->error == ET_OK) {
        out->error = (int16_t)error;
    }
}

static ET__APART void et__byte(et_out *out, unsigned byte) {
    if (out->used < out->room) {
        out->bytes[out->used++] = (uint8_t)byte;
    } else {
        et__fail(out, ET_NO_ROOM);
    }
}

static ET__APART void et__put(et_out *out, const void *bytes, size_t length) {
    const uint8_t *from = (const uint8_t *)bytes;
    size_t i;
    if (length > out->room - out->used) {
        et__fail(out, ET_NO_ROOM);
        return;
    }
    for (i = 0; i < length; i++) {
        out->bytes[out->used++] = from[i];
    }
}

static ET__APART void et__store(uint8_t *at, uint64_t number, unsigned bytes) {
    for (; bytes > 0; bytes--, number >>= 8) {
        *at++ = (uint8_t)number;
    }
}

static ET__APART void et__little(et_out *out, uint64_t number, unsigned bytes) {
    uint8_t little[8];
    et__store(little, number, bytes);
    et__put(out, little, bytes);
}

static ET__APART void et__varint(et_out *out, uint64_t number) {
    for (; number >= 0x80; number >>= 7) {
        et__byte(out, (unsigned)(number & 0x7f) | 0x80u);
    }
    et__byte(out, (unsigned)number);
}

static ET__APART uint64_t et__zigzag(uint64_t number) {
    return (number << 1) ^ (0 - (number >> 63));
}

static ET__APART size_t et__length(const char *text) {
    size_t length = 0;
    while (text[length] != 0) {
        length++;
    }
    return length;
}

static ET__APART int et__is_utf8(const uint8_t *text, size_t length) {
    size_t i = 0;
    while (i < length) {
        unsigned lead = text[i++], more;
        uint32_t least, value;
        if (lead < 0x80) {
            continue;
        }
        if (lead >= 0xc2 && lead < 0xe0) {
            more = 1, least = 0x80, value = lead & 0x1f;
        } else if ((lead & 0xf0) == 0xe0) {
            more = 2, least = 0x800, value = lead & 0x0f;
        } else if (lead >= 0xf0 && lead < 0xf5) {
            more = 3, least = 0x10000ul, value = lead & 0x07;
        } else {
            return 0;
        }
        for (; more > 0; more--, i++) {
            if (i == length || (text[i] & 0xc0) != 0x80) {
                return 0;
            }
            value = value << 6 | (text[i] & 0x3fu);
        }
        if (value < least || value > 0x10fffful || (value >= 0xd800 && value < 0xe000)) {
            return 0;
        }
    }
    return 1;
}

/* Lines */

static ET__APART void et__begin(et_out *out, uint8_t state) {
    /* What an unfinished line or frame left is taken back. */
    if (out->state != ET__IDLE) {
        out->used = out->begin;
    }
    out->begin = out->used;
    out->error = ET_OK;
    out->state = state;
}

static ET__APART int et__finish(et_out *out) {
    int error = out->error;
    out->state = ET__IDLE;
    out->error = ET_OK;
    if (error != ET_OK) {
        out->used = out->begin;
    }
    return error;
}

/* A name or tag value, with a backslash before every byte of `special`. */
static ET__APART void et__name(et_out *out, const char *name, const char *special) {
    size_t length = et__length(name), i, j;
    if (length == 0 || name[length - 1] == '\\') {
        et__fail(out, ET_BAD_NAME);
    }
    if (!et__is_utf8((const uint8_t *)name, length)) {
        et__fail(out, ET_BAD_TEXT);
    }
    for (i = 0; i < length; i++) {
        uint8_t byte = (uint8_t)name[i];
        if (byte < 0x20 || byte == 0x7f) {
            et__fail(out, ET_BAD_NAME);
        }
        for (j = 0; special[j] != 0; j++) {
            if (name[i] == special[j]) {
                et__byte(out, '\\');
            }
        }
        et__byte(out, byte);
    }
}

static ET__APART void et__decimal_digits(et_out *out, uint64_t number) {
    char digits[20];
    unsigned at = sizeof digits;
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    et__put(out, digits + at, sizeof digits - at);
}

static ET__APART void et__signed(et_out *out, int64_t value) {
    uint64_t number = (uint64_t)value;
    if (value < 0) {
        et__byte(out, '-');
        number = 0 - number;
    }
    et__decimal_digits(out, number);
}

void et_line(et_out *out, const char *measurement) {
    et__begin(out, ET__TAGS);
    out->tag = NULL;
    if (measurement[0] == '#') {
        et__fail(out, ET_BAD_NAME);
    }
    et__name(out, measurement, ", ");
}

void et_tag(et_out *out, const char *key, const char *value) {
    if (out->state != ET__TAGS) {
        et__fail(out, ET_MISUSE);
        return;
    }
    if (out->tag != NULL) {
        const char *one = out->tag, *other = key;
        while (*one != 0 && *one == *other) {
            one++, other++;
        }
        if ((uint8_t)*one >= (uint8_t)*other) {
            et__fail(out, ET_TAG_ORDER);
        }
    }
    out->tag = key;
    et__byte(out, ',');
    et__name(out, key, ",= ");
    et__byte(out, '=');
    et__name(out, value, ",= ");
}

static ET__APART int et__field(et_out *out, const char *key) {
    if (out->state != ET__TAGS && out->state != ET__FIELDS) {
        et__fail(out, ET_MISUSE);
        return 0;
    }
    et__byte(out, out->state == ET__TAGS ? ' ' : ',');
    out->state = ET__FIELDS;
    et__name(out, key, ",= ");
    et__byte(out, '=');
    return out->error == ET_OK;
}

void et_field_decimal(et_out *out, const char *key, int64_t mantissa, unsigned scale) {
    uint64_t number = (uint64_t)mantissa, unit = 1;
    unsigned i;
    if (!et__field(out, key)) {
        return;
    }
    if (scale > 18) {
        et__fail(out, ET_TOO_LARGE);
        return;
    }
    if (mantissa < 0) {
        et__byte(out, '-');
        number = 0 - number;
    }
    for (i = 0; i < scale; i++) {
        unit *= 10;
    }
    et__decimal_digits(out, number / unit);
    number %= unit;
    if (scale > 0) {
        et__byte(out, '.');
        for (unit /= 10; unit > 0; unit /= 10) {
            et__byte(out, (unsigned)('0' + number / unit % 10));
        }
    }
}

void et_field_integer(et_out *out, const char *key, int64_t value) {
    if (et__field(out, key)) {
        et__signed(out, value);
        et__byte(out, 'i');
    }
}

void et_field_unsigned(et_out *out, const char *key, uint64_t value) {
    if (et__field(out, key)) {
        et__decimal_digits(out, value);
        et__byte(out, 'u');
    }
}

void et_field_boolean(et_out *out, const char *key, int value) {
    if (et__field(out, key)) {
        et__put(out, value ? "true" : "false", value ? 4 : 5);
    }
}

void et_field_string(et_out *out, const char *key, const char *text, size_t length) {
    size_t i;
    if (!et__field(out, key)) {
        return;
    }
    if (!et__is_utf8((const uint8_t *)text, length)) {
        et__fail(out, ET_BAD_TEXT);
    }
    et__byte(out, '"');
    for (i = 0; i < length; i++) {
        if (text[i] == '"' || text[i] == '\\') {
            et__byte(out, '\\');
        }
        et__byte(out, (uint8_t)text[i]);
    }
    et__byte(out, '"');
}

void et_time(et_out *out, int64_t time) {
    if (out->state == ET__TAGS) {
        et__fail(out, ET_NO_FIELD);
    } else if (out->state != ET__FIELDS) {
        et__fail(out, ET_MISUSE);
    } else {
        out->state = ET__TIMED;
        et__byte(out, ' ');
        et__signed(out, time);
    }
}

int et_directive(et_out *out, const char *words) {
    size_t i;
    et__begin(out, ET__OTHER);
    for (i = 0; words[i] != 0; i++) {
        if ((uint8_t)words[i] < 0x20 || words[i] == 0x7f) {
            et__fail(out, ET_BAD_NAME);
        }
    }
    et__put(out, "#edge ", 6);
    et__put(out, words, i);
    et__byte(out, '\n');
    return et__finish(out);
}

#ifndef EDGETIME_NO_DOUBLE

/* Numbers of up to 1,152 bits, least significant word first. */
#define ET__WORDS 36
typedef struct {
    uint32_t words[ET__WORDS];
} et__big;

static ET__APART void et__big_set(et__big *big, uint64_t number, unsigned shift) {
    unsigned i, word = shift / 32, bit = shift % 32;
    for (i = 0; i < ET__WORDS; i++) {
        big->words[i] = 0;
    }
    big->words[word] = (uint32_t)(number << bit);
    big->words[word + 1] = (uint32_t)(number << bit >> 32);
    if (bit > 0) {
        big->words[word + 2] = (uint32_t)(number >> 32 >> (32 - bit));
    }
}

static ET__APART void et__big_ten(et__big *big) {
    uint64_t carry = 0;
    unsigned i;
    for (i = 0; i < ET__WORDS; i++) {
        carry += (uint64_t)big->words[i] * 10;
        big->words[i] = (uint32_t)carry;
        carry >>= 32;
    }
}

static ET__APART int et__big_compare(const et__big *one, const et__big *other) {
    unsigned i;
    for (i = ET__WORDS; i > 0; i--) {
        if (one->words[i - 1] != other->words[i - 1]) {
            return one->words[i - 1] < other->words[i - 1] ? -1 : 1;
        }
    }
    return 0;
}

static ET__APART int et__big_compare_sum(const et__big *one, const et__big *more, const et__big *other) {
    et__big sum;
    uint64_t carry = 0;
    unsigned i;
    for (i = 0; i < ET__WORDS; i++) {
        carry += (uint64_t)one->words[i] + more->words[i];
        sum.words[i] = (uint32_t)carry;
        carry >>= 32;
    }
    return et__big_compare(&sum, other);
}

static ET__APART void et__big_subtract(et__big *one, const et__big *other) {
    uint64_t borrow = 0;
    unsigned i;
    for (i = 0; i < ET__WORDS; i++) {
        borrow = (uint64_t)one->words[i] - other->words[i] - borrow;
        one->words[i] = (uint32_t)borrow;
        borrow = borrow >> 63;
    }
}

/* The shortest decimal between the middles to both neighbours, the nearest of them: Steele and White's free-format
 * algorithm. The value is fraction * 2^exponent, `narrow` where the neighbour below is half as far as the one above.
 * Returns how many digits there are, and in `point` how many of them stand before the decimal point. */
static unsigned et__shortest(uint64_t fraction, int exponent, int narrow, char *digits, int *point) {
    et__big value, unit, above, below;
    unsigned extra = narrow ? 1 : 0, count = 0, even = (fraction & 1) == 0;
    unsigned up = exponent > 0 ? (unsigned)exponent : 0, down = exponent < 0 ? (unsigned)-exponent : 0;
    int low, high;
    et__big_set(&value, fraction, up + 1 + extra);
    et__big_set(&unit, 1, down + 1 + extra);
    et__big_set(&above, 1, up + extra);
    et__big_set(&below, 1, up);
    *point = 0;
    while (et__big_compare_sum(&value, &above, &unit) >= (even ? 0 : 1)) {
        et__big_ten(&unit);
        ++*point;
    }
    for (;;) {
        unsigned digit = 0;
        et__big_ten(&value);
        et__big_ten(&above);
        et__big_ten(&below);
        while (et__big_compare(&value, &unit) >= 0) {
            et__big_subtract(&value, &unit);
            digit++;
        }
        low = et__big_compare(&value, &below) < (even ? 1 : 0);
        high = et__big_compare_sum(&value, &above, &unit) >= (even ? 0 : 1);
        if (low || high) {
            /* The nearer of the digit and the next one. */
            if (high && (!low || et__big_compare_sum(&value, &value, &unit) >= 0)) {
                digit++;
            }
        }
        if (count == 0 && digit == 0) {
            --*point; /* a small number begins later */
        } else {
            digits[count++] = (char)('0' + digit);
        }
        if (low || high) {
            return count;
        }
    }
}

static void et__put_double(et_out *out, uint64_t bits, unsigned fraction_bits, unsigned exponent_bits) {
    uint64_t hidden = (uint64_t)1 << fraction_bits, fraction = bits & (hidden - 1);
    int bias = (1 << (exponent_bits - 1)) - 1 + (int)fraction_bits;
    int exponent = (int)(bits >> fraction_bits & (((uint64_t)1 << exponent_bits) - 1)), point;
    char digits[20];
    unsigned count, i;
    if (exponent == (1 << exponent_bits) - 1) {
        et__fail(out, ET_NOT_FINITE);
        return;
    }
    if (bits >> (fraction_bits + exponent_bits) != 0) {
        et__byte(out, '-');
    }
    if (exponent == 0 && fraction == 0) {
        et__byte(out, '0');
        return;
    }
    if (exponent > 0) {
        count = et__shortest(fraction | hidden, exponent - bias, fraction == 0 && exponent > 1, digits, &point);
    } else {
        count = et__shortest(fraction, 1 - bias, 0, digits, &point);
    }
    if (point < -3 || point > 6) {
        unsigned power = (unsigned)(point > 0 ? point - 1 : 1 - point);
        et__byte(out, (uint8_t)digits[0]);
        if (count > 1) {
            et__byte(out, '.');
            et__put(out, digits + 1, count - 1);
        }
        et__byte(out, 'e');
        et__byte(out, point > 0 ? '+' : '-');
        if (power < 10) {
            et__byte(out, '0');
        }
        et__decimal_digits(out, power);
        return;
    }
    if (point <= 0) {
        et__put(out, "0.000", (size_t)(2 - point));
        et__put(out, digits, count);
        return;
    }
    for (i = 0; i < count || i < (unsigned)point; i++) {
        if (i == (unsigned)point) {
            et__byte(out, '.');
        }
        et__byte(out, i < count ? (uint8_t)digits[i] : '0');
    }
}

typedef union {
    double value;
    uint64_t bits;
    char has_64_bits[sizeof(double) == 8 ? 1 : -1]; /* define EDGETIME_NO_DOUBLE where this does not compile */
} et__double;

typedef union {
    float value;
    uint32_t bits;
} et__float;

void et_field_double(et_out *out, const char *key, double value) {
    et__double same;
    same.value = value;
    if (et__field(out, key)) {
        et__put_double(out, same.bits, 52, 11);
    }
}

void et_field_float(et_out *out, const char *key, float value) {
    et__float same;
    same.value = value;
    if (et__field(out, key)) {
        et__put_double(out, same.bits, 23, 8);
    }
}

#endif /* EDGETIME_NO_DOUBLE */

/* Answers of a text session */

static ET__APART const char *et__number(const char *at, const char *end, uint64_t *number) {
    const char *first = at;
    *number = 0;
    for (; at < end && *at >= '0' && *at <= '9'; at++) {
        uint64_t digit = (uint64_t)(*at - '0');
        if (*number > (UINT64_MAX - digit) / 10) {
            return NULL;
        }
        *number = *number * 10 + digit;
    }
    return at == first ? NULL : at;
}

/* The text behind `prefix`, or NULL. */
static const char *et__behind(const char *at, const char *end, const char *prefix) {
    for (; *prefix != 0; prefix++, at++) {
        if (at == end || *at != *prefix) {
            return NULL;
        }
    }
    return at;
}

static ET__APART int et__is(const char *at, size_t length, const char *word) {
    return et__length(word) == length && et__behind(at, at + length, word) != NULL;
}

static int et__parse_answer(const char *at, const char *end, et_answer *answer) {
    const char *rest;
    if (at == end) {
        return 0;
    }
    answer->kind = (uint8_t)*at++;
    if (answer->kind == '-') {
        at = et__number(at, end, &answer->number);
        if (at == NULL || at == end || *at++ != ' ') {
            return 0;
        }
        answer->code = at;
        while (at < end && *at != ' ') {
            at++;
        }
        answer->code_length = (size_t)(at - answer->code);
        answer->message = at < end ? at + 1 : at;
        answer->message_length = (size_t)(end - answer->message);
        answer->retryable = (uint8_t)(et__is(answer->code, answer->code_length, "busy") ||
                                      et__is(answer->code, answer->code_length, "full") ||
                                      et__is(answer->code, answer->code_length, "shutting_down"));
        return answer->code_length > 0;
    }
    if (answer->kind != '+') {
        return 0;
    }
    if (et__is(at, (size_t)(end - at), "pong")) {
        answer->kind = 'p';
        return 1;
    }
    rest = et__behind(at, end, "synced ");
    if (rest != NULL) {
        answer->kind = 's';
        return et__number(rest, end, &answer->position) == end;
    }
    at = et__number(at, end, &answer->position);
    return at != NULL && at < end && *at == ' ' && et__number(at + 1, end, &answer->number) == end;
}

int32_t et_read_answer(const void *bytes, size_t length, et_answer *answer) {
    static const et_answer nothing = {0, 0, 0, 0, NULL, 0, NULL, 0};
    const char *text = (const char *)bytes;
    size_t i;
    *answer = nothing;
    /* SPEC.md, section 1.5: none is longer. */
    for (i = 0; i < length && i < 1024; i++) {
        if (text[i] == '\n') {
            return et__parse_answer(text, text + i, answer) ? (int32_t)(i + 1) : ET_BAD_FRAME;
        }
    }
    return i == 1024 ? ET_BAD_FRAME : 0;
}

/* Frames */

static ET__APART uint32_t et__crc(uint32_t crc, const uint8_t *bytes, size_t length) {
    static const uint32_t table[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
        0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
    crc = ~crc;
    while (length-- > 0) {
        crc ^= *bytes++;
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

static ET__APART void et__frame(et_out *out, uint8_t state, uint8_t type, uint32_t request) {
    uint8_t header[ET_HEADER] = {0};
    header[4] = type;
    et__store(header + 8, request, 4);
    et__begin(out, state);
    et__put(out, header, sizeof header);
}

/* Patches length and checksum into the frame that begins at `header`. */
static ET__APART int et__close(et_out *out, size_t header) {
    uint8_t *frame = out->bytes + header;
    uint64_t payload = out->used - header - ET_HEADER;
    if (out->error == ET_OK) {
        if (payload > ET_PAYLOAD_MAX) {
            et__fail(out, ET_TOO_LARGE);
        } else {
            et__store(frame, payload, 4);
            et__store(frame + 12, et__crc(et__crc(0, frame, 12), frame + ET_HEADER, (size_t)payload), 4);
        }
    }
    return et__finish(out);
}

int et_end(et_out *out) {
    switch (out->state) {
    case ET__TAGS:
        et__fail(out, ET_NO_FIELD);
        return et__finish(out);
    case ET__FIELDS:
    case ET__TIMED:
        et__byte(out, '\n');
        return et__finish(out);
    case ET__BATCH:
        if (out->columns != 0 || out->sections != 0 || out->batch_rows == 0) {
            et__fail(out, ET_MISUSE);
        }
        return et__close(out, out->begin);
    case ET__DECLARE:
        return et__close(out, out->begin);
    default:
        out->begin = out->used;
        et__fail(out, ET_MISUSE);
        return et__finish(out);
    }
}

static ET__APART void et__text(et_out *out, const char *text) {
    size_t length = et__length(text);
    if (!et__is_utf8((const uint8_t *)text, length)) {
        et__fail(out, ET_BAD_TEXT);
    }
    et__varint(out, length);
    et__put(out, text, length);
}

int et_hello(et_out *out, uint64_t features, const char *client, const char *token) {
    size_t magic;
    et__frame(out, ET__OTHER, 1, 0);
    et__little(out, 0x00010001ul, 4); /* versions 1 to 1 */
    et__little(out, features, 8);
    et__text(out, client);
    et__text(out, token);
    magic = out->begin;
    /* The magic byte stands before the frame: room for it at the end, then everything moves up. */
    et__byte(out, 0);
    if (out->error == ET_OK) {
        size_t i;
        for (i = out->used - 1; i > magic; i--) {
            out->bytes[i] = out->bytes[i - 1];
        }
        out->bytes[magic] = 0xfe;
    }
    return et__close(out, magic + 1);
}

int et_auth(et_out *out, uint32_t request, const char *token) {
    et__frame(out, ET__OTHER, 6, request);
    et__text(out, token);
    return et__close(out, out->begin);
}

int et_ping(et_out *out, uint32_t request) {
    et__frame(out, ET__OTHER, ET_PING, request);
    return et__close(out, out->begin);
}

int et_pong(et_out *out, uint32_t request) {
    et__frame(out, ET__OTHER, ET_PONG, request);
    return et__close(out, out->begin);
}

/* Declarations */

void et_declare(et_out *out) {
    et__frame(out, ET__DECLARE, 32, 0);
}

static ET__APART void et__kind(et_out *out, unsigned kind) {
    if (out->state != ET__DECLARE) {
        et__fail(out, ET_MISUSE);
    }
    et__byte(out, kind);
}

void et_table(et_out *out, const char *database, const char *measurement) {
    et__kind(out, 1);
    et__text(out, database);
    et__text(out, measurement);
}

void et_layout(et_out *out, uint32_t table, const et_field *fields, size_t count) {
    size_t i;
    et__kind(out, 2);
    et__varint(out, table);
    et__varint(out, count);
    if (count == 0 || count > 1024) {
        et__fail(out, ET_TOO_LARGE);
        return;
    }
    for (i = 0; i < count; i++) {
        et__byte(out, fields[i].type);
        et__text(out, fields[i].name);
    }
}

void et_series(et_out *out, uint32_t table, const et_pair *tags, size_t count) {
    size_t i;
    et__kind(out, 3);
    et__varint(out, table);
    et__varint(out, count);
    for (i = 0; i < count; i++) {
        et__text(out, tags[i].key);
        et__text(out, tags[i].value);
    }
}

void et_forget(et_out *out) {
    et__kind(out, 4);
}

/* Values */

static const void *et__at(const et_values *values, size_t row) {
    return (const uint8_t *)values->first + row * values->step;
}

/* An integer as 64 bits of two's complement. */
static ET__APART uint64_t et__load(const et_values *values, size_t row) {
    const void *at = et__at(values, row);
    switch (values->kind) {
    case ET_I8:
        return (uint64_t)(int64_t) * (const int8_t *)at;
    case ET_I16:
        return (uint64_t)(int64_t) * (const int16_t *)at;
    case ET_I32:
        return (uint64_t)(int64_t) * (const int32_t *)at;
    case ET_U8:
        return *(const uint8_t *)at;
    case ET_U16:
        return *(const uint16_t *)at;
    case ET_U32:
        return *(const uint32_t *)at;
    case ET_I64:
        return (uint64_t) * (const int64_t *)at;
    default:
        return *(const uint64_t *)at;
    }
}

/* A column as it is packed: a cursor over the rows that have a value, and what their numbers are. */
typedef struct {
    const et_values *values, *missing;
    size_t row;
    unsigned scale; /* of doubles */
} et__cursor;

/* The row of the next value. The caller has counted them: there is one. */
static ET__APART size_t et__next_row(et__cursor *cursor) {
    if (cursor->missing != NULL) {
        while (et__load(cursor->missing, cursor->row) != 0) {
            cursor->row++;
        }
    }
    return cursor->row++;
}

#ifndef EDGETIME_NO_DOUBLE

static double et__power(unsigned scale) {
    double power = 1.0; /* exact up to 10^22 */
    while (scale-- > 0) {
        power *= 10.0;
    }
    return power;
}

static double et__load_double(const et_values *values, size_t row) {
    const void *at = et__at(values, row);
    return values->kind == ET_F32 ? (double)*(const float *)at : *(const double *)at;
}

/* Whether the value is mantissa / 10^scale, bit by bit; of a float, whether the float nearest to it is. */
static int et__mantissa(const et_values *values, size_t row, unsigned scale, uint64_t *mantissa) {
    et__double value, same;
    double power = et__power(scale), scaled;
    int64_t whole;
    value.value = et__load_double(values, row);
    scaled = value.value * power;
    if (!(scaled >= -9007199254740992.0 && scaled <= 9007199254740992.0)) {
        return -1; /* no larger scale helps */
    }
    whole = (int64_t)(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
    same.value = (double)whole / power;
    if (values->kind == ET_F32) {
        same.value = (double)(float)same.value;
    }
    *mantissa = (uint64_t)whole;
    return same.bits == value.bits && (whole < 0 ? 0 - *mantissa : *mantissa) <= ET_MANTISSA_MAX;
}

/* The least scale that all of the next values have; 255: none. */
static unsigned et__scale(et__cursor cursor, unsigned count) {
    unsigned scale = 0;
    et__cursor first = cursor;
    unsigned i;
    for (i = 0; i < count; i++) {
        size_t row = et__next_row(&cursor);
        uint64_t mantissa;
        for (;;) {
            int is = et__mantissa(cursor.values, row, scale, &mantissa);
            if (is > 0) {
                break;
            }
            if (is < 0 || scale == ET_SCALE_MAX) {
                return 255;
            }
            scale++;
        }
    }
    /* Those before the one that needed the most. */
    for (i = 0; i < count; i++) {
        uint64_t mantissa;
        if (et__mantissa(first.values, et__next_row(&first), scale, &mantissa) <= 0) {
            return 255;
        }
    }
    return scale;
}

#endif

static ET__APART uint64_t et__next(et__cursor *cursor) {
    size_t row = et__next_row(cursor);
#ifndef EDGETIME_NO_DOUBLE
    if (cursor->values->kind >= ET_F32) {
        uint64_t mantissa = 0;
        (void)et__mantissa(cursor->values, row, cursor->scale, &mantissa);
        return mantissa;
    }
#endif
    return et__load(cursor->values, row);
}

/* Least, greatest and common factor of numbers. */
typedef struct {
    uint64_t base, range, factor;
    unsigned width;
    size_t bytes; /* that base, factor and bits take */
} et__form;

static ET__APART unsigned et__varint_bytes(uint64_t number) {
    unsigned bytes = 1;
    for (; number >= 0x80; number >>= 7) {
        bytes++;
    }
    return bytes;
}

static int et__is_less(uint64_t one, uint64_t other) {
    return (one ^ (uint64_t)1 << 63) < (other ^ (uint64_t)1 << 63);
}

static ET__APART et__form et__form_of(et__cursor cursor, unsigned count, int steps) {
    et__form form = {0, 0, 0, 0, 0};
    uint64_t greatest = 0, before = 0;
    unsigned i, pass;
    et__cursor again = cursor;
    for (pass = 0; pass < 2; pass++, cursor = again) {
        for (i = 0; i < count; i++) {
            uint64_t number = et__next(&cursor), value = steps ? number - before : number;
            before = number;
            if (steps && i == 0) {
                continue;
            }
            if (pass == 0) {
                int is_first = i == (steps ? 1u : 0u);
                if (is_first || et__is_less(value, form.base)) {
                    form.base = value;
                }
                if (is_first || et__is_less(greatest, value)) {
                    greatest = value;
                }
            } else {
                uint64_t one = value - form.base, other = form.factor;
                while (one != 0) {
                    uint64_t rest = other % one;
                    other = one;
                    one = rest;
                }
                form.factor = other;
                if (other == 1) {
                    break;
                }
            }
        }
        form.range = greatest - form.base;
        if (form.range == 0) {
            break;
        }
    }
    form.bytes = et__varint_bytes(et__zigzag(form.base));
    if (form.range != 0) {
        uint64_t most = form.range / form.factor;
        for (; most != 0; most >>= 1) {
            form.width++;
        }
        form.bytes += et__varint_bytes(form.factor) + ((size_t)(count - (steps ? 1u : 0u)) * form.width + 7) / 8;
    }
    return form;
}

/* Appends up to 128 numbers, and leaves the cursor behind them. */
static void et__group(et_out *out, et__cursor *cursor, unsigned count) {
    et__form plain = et__form_of(*cursor, count, 0), form = plain;
    uint64_t before = 0;
    unsigned i, steps = 0, filled = 0, byte = 0;
    if (count > 1) {
        et__cursor first = *cursor;
        et__form stepped = et__form_of(*cursor, count, 1);
        uint64_t number = et__next(&first);
        if (stepped.bytes + et__varint_bytes(et__zigzag(number)) < plain.bytes) {
            form = stepped;
            steps = 0x80;
        }
    }
    et__byte(out, steps | form.width);
    for (i = 0; i < count; i++) {
        uint64_t number = et__next(cursor), value = steps ? number - before : number;
        unsigned width = form.width;
        before = number;
        if (steps && i == 0) {
            et__varint(out, et__zigzag(number));
        }
        if (i == 0) {
            et__varint(out, et__zigzag(form.base));
            if (width != 0) {
                et__varint(out, form.factor);
            }
            if (steps) {
                continue;
            }
        }
        if (width != 0) {
            value = (value - form.base) / form.factor;
        }
        while (width > 0) {
            unsigned take = width < 8 - filled ? width : 8 - filled;
            byte |= (unsigned)(value & ((1u << take) - 1)) << filled;
            value >>= take;
            width -= take;
            filled += take;
            if (filled == 8) {
                et__byte(out, byte);
                filled = byte = 0;
            }
        }
    }
    if (filled != 0) {
        et__byte(out, byte);
    }
}

static ET__APART void et__packed(et_out *out, et__cursor *cursor, size_t count) {
    while (count > 0) {
        unsigned group = count < ET_GROUP ? (unsigned)count : ET_GROUP;
        et__group(out, cursor, group);
        count -= group;
    }
}

/* Bits of the next values: whether each number is not 0. */
static ET__APART void et__bitmap(et_out *out, et__cursor *cursor, size_t count) {
    unsigned byte = 0, bit = 0;
    for (; count > 0; count--) {
        byte |= (unsigned)(et__load(cursor->values, et__next_row(cursor)) != 0) << bit;
        if (++bit == 8 || count == 1) {
            et__byte(out, byte);
            byte = bit = 0;
        }
    }
}

static et__cursor et__walk(const et_values *values, const et_values *missing) {
    et__cursor cursor;
    cursor.values = values;
    cursor.missing = missing;
    cursor.row = 0;
    cursor.scale = 0;
    return cursor;
}

/* Batches */

void et_batch(et_out *out, uint32_t request, unsigned ack, uint64_t producer, uint64_t sequence, unsigned sections) {
    et__frame(out, ET__BATCH, 33, request);
    out->batch_rows = out->batch_cells = 0;
    out->columns = 0;
    out->sections = (uint16_t)sections;
    if (ack > ET_ACK_DURABLE || sections == 0 || sections != out->sections) {
        et__fail(out, ET_MISUSE);
    }
    et__byte(out, ack | (producer != 0 ? 4u : 0u));
    if (producer != 0) {
        et__little(out, producer, 8);
        et__varint(out, sequence);
    }
    et__varint(out, sections);
}

void et_rows(et_out *out, uint32_t layout, size_t rows, et_values series, const et_values *times, unsigned columns) {
    et__cursor cursor = et__walk(&series, NULL);
    uint64_t count = rows;
    if (out->state != ET__BATCH || out->columns != 0 || out->sections == 0 || columns == 0 || rows == 0) {
        et__fail(out, ET_MISUSE);
    }
    if (columns > 1024 || count > ET_ROWS_MAX || count * columns > ET_CELLS_MAX) {
        et__fail(out, ET_TOO_LARGE);
    }
    if (out->error != ET_OK) {
        return;
    }
    out->batch_rows += (uint32_t)rows;
    out->batch_cells += (uint32_t)rows * columns;
    if (out->batch_rows > ET_ROWS_MAX || out->batch_cells > ET_CELLS_MAX) {
        et__fail(out, ET_TOO_LARGE);
        return;
    }
    out->sections--;
    out->rows = (uint32_t)rows;
    out->columns = (uint16_t)columns;
    et__varint(out, layout);
    et__varint(out, rows);
    et__packed(out, &cursor, rows);
    et__byte(out, times != NULL ? 1 : 0);
    if (times != NULL) {
        cursor = et__walk(times, NULL);
        et__packed(out, &cursor, rows);
    }
    et__varint(out, columns);
}

/* Begins a column; how many values it has, or 0 after an error, too. */
static size_t et__open_column(et_out *out, uint8_t type, const et_values *missing) {
    size_t count = (size_t)out->rows, row;
    if (out->state != ET__BATCH || out->columns == 0) {
        et__fail(out, ET_MISUSE);
    }
    if (out->error != ET_OK) {
        return 0;
    }
    out->columns--;
    et__byte(out, type | (missing != NULL ? 0x80u : 0u));
    if (missing != NULL) {
        et__cursor cursor = et__walk(missing, NULL);
        et__bitmap(out, &cursor, count);
        for (row = 0; row < out->rows; row++) {
            count -= et__load(missing, row) != 0;
        }
    }
    return count;
}

static void et__decimals(et_out *out, et__cursor *cursor, size_t count, unsigned scale) {
    while (count > 0) {
        unsigned group = count < ET_GROUP ? (unsigned)count : ET_GROUP;
        count -= group;
#ifndef EDGETIME_NO_DOUBLE
        if (cursor->values->kind >= ET_F32) {
            cursor->scale = scale = et__scale(*cursor, group);
        }
#endif
        et__byte(out, scale);
        if (scale <= ET_SCALE_MAX) {
            et__group(out, cursor, group);
            continue;
        }
#ifndef EDGETIME_NO_DOUBLE
        for (; group > 0; group--) {
            et__double same;
            same.value = et__load_double(cursor->values, et__next_row(cursor));
            et__little(out, same.bits, 8);
        }
#endif
    }
}

void et_column(et_out *out, uint8_t type, et_values values, const et_values *missing) {
    size_t count = et__open_column(out, type, missing);
    et__cursor cursor = et__walk(&values, missing);
    int is_double = values.kind == ET_F32 || values.kind == ET_F64;
#ifdef EDGETIME_NO_DOUBLE
    if (is_double) {
        et__fail(out, ET_MISUSE);
        return;
    }
#endif
    if (type == ET_FLOAT && is_double) {
        et__decimals(out, &cursor, count, 0);
    } else if ((type == ET_INTEGER || type == ET_UNSIGNED) && !is_double) {
        et__packed(out, &cursor, count);
    } else if (type == ET_BOOLEAN && !is_double) {
        et__bitmap(out, &cursor, count);
    } else {
        et__fail(out, ET_MISUSE);
    }
}

void et_column_decimal(et_out *out, et_values mantissas, unsigned scale, const et_values *missing) {
    size_t count = et__open_column(out, ET_FLOAT, missing), i;
    et__cursor cursor = et__walk(&mantissas, missing), check = cursor;
    if (mantissas.kind >= ET_F32) {
        et__fail(out, ET_MISUSE);
        return;
    }
    for (i = 0; i < count; i++) {
        uint64_t number = et__next(&check);
        int is_negative = mantissas.kind != ET_U64 && number >> 63 != 0;
        if (scale > ET_SCALE_MAX || (is_negative ? 0 - number : number) > ET_MANTISSA_MAX) {
            et__fail(out, ET_TOO_LARGE);
            return;
        }
    }
    et__decimals(out, &cursor, count, scale);
}

void et_column_bytes(et_out *out, uint8_t type, const et_bytes *first, size_t step, const et_values *missing) {
    size_t count = et__open_column(out, type, missing);
    et_values values;
    et__cursor cursor;
    values.first = first;
    values.step = step;
    values.kind = ET_U8;
    cursor = et__walk(&values, missing);
    if (type != ET_STRING && type != ET_BINARY) {
        et__fail(out, ET_MISUSE);
        return;
    }
    et__byte(out, 0); /* each by itself */
    for (; count > 0; count--) {
        const et_bytes *value = (const et_bytes *)et__at(&values, et__next_row(&cursor));
        if (type == ET_STRING && !et__is_utf8((const uint8_t *)value->bytes, value->length)) {
            et__fail(out, ET_BAD_TEXT);
        }
        et__varint(out, value->length);
        et__put(out, value->bytes, value->length);
    }
}

/* What arrives */

/* Reads from a payload's front; `at` is NULL after an error. */
typedef struct {
    const uint8_t *at, *end;
} et__in;

static ET__APART uint64_t et__take_little(et__in *in, unsigned bytes) {
    uint64_t number = 0;
    unsigned i;
    if (in->at == NULL || (size_t)(in->end - in->at) < bytes) {
        in->at = NULL;
        return 0;
    }
    for (i = 0; i < bytes; i++) {
        number |= (uint64_t)*in->at++ << (8 * i);
    }
    return number;
}

static ET__APART uint64_t et__take_varint(et__in *in) {
    uint64_t number = 0;
    unsigned shift;
    for (shift = 0; shift < 64; shift += 7) {
        uint64_t byte = et__take_little(in, 1);
        /* In its shortest form only, and within 64 bits. */
        if (in->at == NULL || (byte == 0 && shift > 0) || (shift == 63 && byte > 1)) {
            break;
        }
        number |= (byte & 0x7f) << shift;
        if (byte < 0x80) {
            return number;
        }
    }
    in->at = NULL;
    return 0;
}

static ET__APART void et__take_text(et__in *in, const char **text, size_t *length) {
    uint64_t bytes = et__take_varint(in);
    *text = NULL;
    *length = 0;
    if (in->at == NULL || bytes > (size_t)(in->end - in->at) || !et__is_utf8(in->at, (size_t)bytes)) {
        in->at = NULL;
        return;
    }
    *text = (const char *)in->at;
    *length = (size_t)bytes;
    in->at += *length;
}

static ET__APART void et__take_written(et__in *in, et_event *event) {
    unsigned flags = (unsigned)et__take_little(in, 1);
    uint64_t reasons, left, row;
    event->ack = flags & 3;
    event->duplicate = flags >> 2 & 1;
    event->position = et__take_varint(in);
    event->rows = et__take_varint(in);
    reasons = et__take_varint(in);
    if (in->at == NULL || flags > 7 || event->ack > ET_ACK_DURABLE || reasons > (size_t)(in->end - in->at)) {
        in->at = NULL;
        return;
    }
    event->reasons = (uint32_t)reasons;
    event->refused = in->at;
    event->refused_end = in->end;
    for (; reasons > 0 && in->at != NULL; reasons--) {
        (void)et__take_little(in, 2);
        et__take_text(in, &event->message, &event->message_length);
        left = et__take_varint(in);
        for (row = 0; left > 0 && in->at != NULL; left--, row++) {
            uint64_t step = et__take_varint(in);
            if (step >= ET_ROWS_MAX || row + step >= ET_ROWS_MAX) {
                in->at = NULL;
            }
            row += step;
        }
    }
    event->message = NULL;
    event->message_length = 0;
}

int et_next_refused(const et_event *written, et_refused *refused) {
    et__in in;
    in.at = refused->at != NULL ? refused->at : written->refused;
    in.end = written->refused_end;
    while (refused->left == 0) {
        if (refused->reason == written->reasons) {
            return 0;
        }
        refused->reason++;
        refused->code = (unsigned)et__take_little(&in, 2);
        et__take_text(&in, &refused->message, &refused->message_length);
        refused->left = (uint32_t)et__take_varint(&in);
        refused->row = UINT32_MAX; /* one before the first */
    }
    refused->left--;
    refused->row += (uint32_t)et__take_varint(&in) + 1;
    refused->at = in.at;
    return 1;
}

int et_open(et_session *session, et_out *out, uint64_t features, const char *client, const char *token) {
    session->features = features;
    session->credits = 0;
    session->request = 0;
    session->is_open = 0;
    return et_hello(out, features, client, token);
}

uint32_t et_next_request(et_session *session) {
    session->request = session->request == UINT32_MAX ? 1 : session->request + 1;
    return session->request;
}

int et_may_write(const et_session *session) {
    return session->is_open && (session->features & ET_WRITES) != 0 && session->credits > 0;
}

void et_sent(et_session *session, size_t bytes) {
    session->credits -= (int64_t)bytes;
}

int32_t et_take(et_session *session, const void *bytes, size_t length, et_event *event) {
    static const et_event nothing = {0, 0, 0, NULL, 0, 0, 0, 0, 0, 0, NULL, NULL, 0, 0, 0};
    const uint8_t *frame = (const uint8_t *)bytes;
    et__in in;
    uint64_t size, number;
    uint32_t crc;
    *event = nothing;
    if (length < ET_HEADER) {
        return 0;
    }
    in.at = frame;
    in.end = frame + ET_HEADER;
    size = et__take_little(&in, 4);
    event->kind = (uint8_t)et__take_little(&in, 1);
    number = et__take_little(&in, 3);
    event->request = (uint32_t)et__take_little(&in, 4);
    crc = (uint32_t)et__take_little(&in, 4);
    if (number != 0 || size > ET_PAYLOAD_MAX) {
        return ET_BAD_FRAME;
    }
    if (length - ET_HEADER < size) {
        return 0;
    }
    in.end = in.at + size;
    if (et__crc(et__crc(0, frame, 12), in.at, (size_t)size) != crc) {
        return ET_BAD_FRAME;
    }
    switch (event->kind) {
    case ET_WELCOME:
        number = et__take_little(&in, 2);
        event->features = et__take_little(&in, 8);
        et__take_text(&in, &event->message, &event->message_length);
        event->payload_max = (uint32_t)et__take_little(&in, 4);
        (void)et__take_little(&in, 4);
        if (session->is_open || number != 1) {
            return ET_BAD_FRAME;
        }
        break;
    case ET_ERROR:
        event->code = (unsigned)et__take_little(&in, 2);
        et__take_text(&in, &event->message, &event->message_length);
        if (et__take_varint(&in) > (uint64_t)UINT32_MAX + 1) {
            return ET_BAD_FRAME;
        }
        break;
    case ET_WRITTEN:
        et__take_written(&in, event);
        break;
    case ET_CREDITS:
        number = et__take_varint(&in);
        if (number > UINT32_MAX) {
            return ET_BAD_FRAME;
        }
        event->bytes = (uint32_t)number;
        break;
    case ET_PING:
    case ET_PONG:
    case ET_READY:
        break;
    default:
        return ET_BAD_FRAME;
    }
    if (in.at != in.end || (!session->is_open && event->kind != ET_WELCOME && event->kind != ET_ERROR)) {
        return ET_BAD_FRAME;
    }
    if (event->kind == ET_WELCOME) {
        session->is_open = 1;
        session->features &= event->features;
    } else if (event->kind == ET_CREDITS) {
        session->credits += event->bytes;
    }
    return (int32_t)(ET_HEADER + size);
}

#ifdef __cplusplus
}
#endif
#endif /* EDGETIME_IMPLEMENTATION */
