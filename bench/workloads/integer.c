/* Integer compute: sort, tree, hash, interpreter, compression, calls through pointers. */
#include "suite.h"

#include <stdlib.h>
#include <string.h>

enum { WORDS = 100000, KEYS = 20000, TEXT = 1 << 17, OBJECTS = 4096 };

static uint32_t words[WORDS];

static void quick_sort(uint32_t *first, uint32_t *last)
{
    while (last - first > 16) {
        uint32_t a = *first, b = first[(last - first) / 2], c = last[-1];
        uint32_t pivot = a < b ? (b < c ? b : a < c ? c : a) : (a < c ? a : b < c ? c : b);
        uint32_t *i = first, *j = last - 1;
        while (i <= j) {
            while (*i < pivot)
                i++;
            while (*j > pivot)
                j--;
            if (i <= j) {
                uint32_t t = *i;
                *i++ = *j;
                *j-- = t;
            }
        }
        if (j + 1 - first < last - i) {
            quick_sort(first, j + 1);
            first = i;
        } else {
            quick_sort(i, last);
            last = j + 1;
        }
    }
    for (uint32_t *i = first + 1; i < last; i++) {
        uint32_t x = *i, *j = i;
        for (; j > first && j[-1] > x; j--)
            *j = j[-1];
        *j = x;
    }
}

static uint64_t run_sort(long count)
{
    uint64_t sum = 0;
    while (count-- > 0) {
        uint32_t state = 1;
        for (int i = 0; i < WORDS; i++)
            words[i] = next_random(&state);
        quick_sort(words, words + WORDS);
        sum = 0;
        for (int i = 0; i < WORDS; i += 97)
            sum = sum * 31 + words[i];
    }
    return sum;
}

/* A treap: a search tree by key, a heap by priority. */
struct node {
    struct node *left, *right;
    uint32_t key, priority, uses;
};

static struct node *insert(struct node *node, uint32_t key, uint32_t priority)
{
    if (node == NULL) {
        node = calloc(1, sizeof(*node));
        node->key = key;
        node->priority = priority;
        return node;
    }
    if (key < node->key) {
        struct node *child = node->left = insert(node->left, key, priority);
        if (child->priority > node->priority) {
            node->left = child->right;
            child->right = node;
            return child;
        }
    } else if (key > node->key) {
        struct node *child = node->right = insert(node->right, key, priority);
        if (child->priority > node->priority) {
            node->right = child->left;
            child->left = node;
            return child;
        }
    }
    node->uses++;
    return node;
}

static uint64_t drop(struct node *node, int depth)
{
    if (node == NULL)
        return depth;
    uint64_t sum = drop(node->left, depth + 1) * 3 + drop(node->right, depth + 1) + node->key;
    free(node);
    return sum;
}

static uint64_t run_tree(long count)
{
    uint64_t sum = 0;
    while (count-- > 0) {
        uint32_t state = 7;
        struct node *root = NULL;
        for (int i = 0; i < KEYS; i++) {
            uint32_t key = next_random(&state) % (KEYS * 4);
            root = insert(root, key, next_random(&state));
        }
        sum = 0;
        for (int i = 0; i < KEYS; i++) {
            uint32_t key = next_random(&state) % (KEYS * 4);
            struct node *node = root;
            while (node != NULL && node->key != key)
                node = key < node->key ? node->left : node->right;
            sum += node != NULL ? key : 1;
        }
        sum ^= drop(root, 0);
    }
    return sum;
}

static char text[TEXT + 1];

/* Words of an invented language: short ones often, long ones seldom. */
static int prepare_text(void)
{
    uint32_t state = 3;
    int length = 0;
    while (length < TEXT) {
        uint32_t word = next_random(&state) % 4096;
        word = word * word / 4096;
        uint32_t letters = word * 2654435761u;
        for (int i = 0; i < 2 + (int)(word >> 9) && length < TEXT; i++, letters = letters * 17 + 5)
            text[length++] = "etaoinshrdlucmfw"[letters >> 28];
        if (length < TEXT)
            text[length++] = next_random(&state) % 12 == 0 ? '\n' : ' ';
    }
    text[TEXT] = 0;
    return 1;
}

static uint64_t run_hash(long count)
{
    struct entry {
        struct entry *next;
        uint32_t hash, uses;
        char word[24];
    };
    static struct entry *buckets[2048];
    static struct entry entries[8192];
    uint64_t sum = 0;
    while (count-- > 0) {
        int used = 0;
        memset(buckets, 0, sizeof(buckets));
        for (const char *p = text; *p != 0;) {
            char word[24];
            int length = 0;
            uint32_t hash = 2166136261u;
            for (; *p > ' '; p++) {
                if (length < 23)
                    word[length++] = *p;
                hash = (hash ^ (unsigned char)*p) * 16777619u;
            }
            if (*p != 0)
                p++;
            word[length] = 0;
            struct entry **link = &buckets[hash % 2048];
            while (*link != NULL && ((*link)->hash != hash || strcmp((*link)->word, word) != 0))
                link = &(*link)->next;
            if (*link == NULL && used < 8192) {
                struct entry *entry = *link = &entries[used++];
                entry->next = NULL;
                entry->hash = hash;
                entry->uses = 0;
                memcpy(entry->word, word, length + 1);
            }
            if (*link != NULL)
                (*link)->uses++;
        }
        sum = used;
        for (int i = 0; i < used; i++)
            sum = sum * 31 + entries[i].uses * entries[i].hash;
    }
    return sum;
}

/* A stack machine; its program looks for the longest Collatz sequence of the first numbers. */
enum operation { PUSH, LOAD, STORE, ADD, MULTIPLY, HALVE, ODD, LESS, JUMP, JUMP_IF_ZERO, HALT };

static const int32_t collatz[] = {
    PUSH, 1, STORE, 0,                                          /*  0: n = 1 */
    LOAD, 0, STORE, 1, PUSH, 0, STORE, 2,                       /*  4: x = n, length = 0 */
    PUSH, 1, LOAD, 1, LESS, JUMP_IF_ZERO, 48,                   /* 12: while 1 < x */
    LOAD, 1, ODD, JUMP_IF_ZERO, 34,                             /* 19 */
    LOAD, 1, PUSH, 3, MULTIPLY, PUSH, 1, ADD, JUMP, 37,         /* 24: odd: 3x + 1 */
    LOAD, 1, HALVE,                                             /* 34: even: x / 2 */
    STORE, 1, LOAD, 2, PUSH, 1, ADD, STORE, 2, JUMP, 12,        /* 37: (48 follows) */
    LOAD, 3, LOAD, 2, LESS, JUMP_IF_ZERO, 59,                   /* 48: longer than the longest? */
    LOAD, 2, STORE, 3,                                          /* 55 */
    LOAD, 0, PUSH, 1, ADD, STORE, 0,                            /* 59: n++ */
    LOAD, 0, PUSH, 300, LESS, JUMP_IF_ZERO, 75, JUMP, 4, HALT,  /* 66 */
    HALT,
};

static int64_t interpret(const int32_t *program)
{
    static const void *const labels[] = {
        &&push, &&load, &&store, &&add, &&multiply, &&halve, &&odd, &&less, &&jump, &&jump_if_zero, &&halt,
    };
    int64_t stack[16], variables[8] = { 0 }, *top = stack;
    const int32_t *next = program;
#define NEXT goto *labels[*next++]
    NEXT;
push: *top++ = *next++; NEXT;
load: *top++ = variables[*next++]; NEXT;
store: variables[*next++] = *--top; NEXT;
add: top--; top[-1] += top[0]; NEXT;
multiply: top--; top[-1] *= top[0]; NEXT;
halve: top[-1] >>= 1; NEXT;
odd: top[-1] &= 1; NEXT;
less: top--; top[-1] = top[-1] < top[0]; NEXT;
jump: next = program + *next; NEXT;
jump_if_zero: if (*--top == 0) next = program + *next; else next++; NEXT;
halt: return variables[3];
#undef NEXT
}

static uint64_t run_interpreter(long count)
{
    uint64_t longest = 0;
    while (count-- > 0)
        longest = interpret(escape((void *)collatz));
    return longest;
}

/* LZ77 with a hash of 4 bytes; then unpacked again. */
static uint64_t run_compress(long count)
{
    static uint8_t packed[TEXT * 2], unpacked[TEXT];
    static int32_t last[1 << 13];
    uint64_t sum = 0;
    while (count-- > 0) {
        int in = 0, out = 0;
        memset(last, 0xFF, sizeof(last));
        while (in < TEXT) {
            uint32_t four = 0;
            int length = 0, from = -1;
            if (in + 4 <= TEXT) {
                memcpy(&four, text + in, 4);
                int32_t *place = &last[(four * 2654435761u) >> 19];
                from = *place;
                *place = in;
            }
            if (from >= 0 && in - from < 65536)
                while (length < 131 && in + length < TEXT && text[from + length] == text[in + length])
                    length++;
            if (length >= 4) {
                packed[out++] = 0x80 | (length - 4);
                packed[out++] = (in - from) & 255;
                packed[out++] = (in - from) >> 8;
                in += length;
            } else {
                packed[out++] = text[in++];
            }
        }
        int end = 0;
        for (int i = 0; i < out;) {
            if (packed[i] & 0x80) {
                int length = (packed[i] & 0x7F) + 4, back = packed[i + 1] | packed[i + 2] << 8;
                for (; length > 0; length--, end++)
                    unpacked[end] = unpacked[end - back];
                i += 3;
            } else {
                unpacked[end++] = packed[i++];
            }
        }
        sum = end == TEXT && memcmp(text, unpacked, TEXT) == 0 ? out : 0;
    }
    return sum;
}

/* Objects of four classes, their methods called through tables. */
struct object {
    const struct class *class;
    int64_t value;
};

struct class {
    int64_t (*get)(const struct object *);
    void (*change)(struct object *, int64_t);
};

static int64_t get_value(const struct object *object) { return object->value; }
static int64_t get_double(const struct object *object) { return object->value * 2; }
static void add_value(struct object *object, int64_t by) { object->value += by; }
static void mix_value(struct object *object, int64_t by) { object->value = (object->value ^ by) >> 1; }

static const struct class classes[] = {
    { get_value, add_value }, { get_double, add_value }, { get_value, mix_value }, { get_double, mix_value },
};

static uint64_t run_objects(long count)
{
    static struct object objects[OBJECTS];
    int64_t sum = 0;
    while (count-- > 0) {
        uint32_t state = 5;
        for (int i = 0; i < OBJECTS; i++) {
            objects[i].class = &classes[(next_random(&state) >> 16) & 3];
            objects[i].value = i;
        }
        sum = 0;
        for (int round = 0; round < 4; round++)
            for (int i = 0; i < OBJECTS; i++) {
                sum += objects[i].class->get(&objects[i]);
                objects[i].class->change(&objects[i], sum & 0xFF);
            }
    }
    return sum;
}

const struct test integer_tests[] = {
    { "integer.sort", run_sort, WORDS, NULL, NULL },
    { "integer.tree", run_tree, KEYS, NULL, NULL },
    { "integer.hash", run_hash, TEXT, prepare_text, NULL },
    { "integer.interpreter", run_interpreter, 1, NULL, NULL },
    { "integer.compress", run_compress, TEXT, prepare_text, NULL },
    { "integer.objects", run_objects, OBJECTS * 4, NULL, NULL },
    { 0 },
};
