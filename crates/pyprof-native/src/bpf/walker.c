// Walks the Python frames of the thread that a perf event has just interrupted, in that thread's own context, and
// puts them into the ring in front of the event's own record. It knows nothing of any Python version: where the
// fields lie comes from user space, per process, and the frames leave as raw bytes, decoded there.
//
// Self-contained on purpose: no kernel headers, no CO-RE, so that any clang builds it and any kernel from 5.8 on
// runs it.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long s64;

#define SECTION(name) __attribute__((section(name), used))
#define INLINE static __attribute__((always_inline)) inline

// Frames in one record; a deeper stack goes on in the next one.
#define FRAMES 160
// Longest frame prefix in bytes (see FrameDecoder::prefix); one below a power of two, as a mask for the verifier.
#define PREFIX_MASK 127
#define BYTES_MASK 0x7fff
// Thread states looked through when a thread is not in the map: new ones are at the head of the list.
#define LIST 32

// Numbers of the helpers (include/uapi/linux/bpf.h).
static void *(*map_lookup)(void *map, const void *key) = (void *)1;
static u32 (*processor_id)(void) = (void *)8;
static s64 (*tail_call)(void *context, void *map, u32 index) = (void *)12;
static s64 (*output)(void *context, void *map, u64 flags, void *data, u64 size) = (void *)25;
static u64 (*ktime)(void) = (void *)5;
static s64 (*read_user)(void *to, u32 size, const void *from) = (void *)112;
static s64 (*ns_pid_tgid)(u64 device, u64 inode, void *ids, u32 size) = (void *)120;

#define CURRENT_CPU 0xffffffffULL

// The same layout as `Config` in config.rs.
struct config {
    u64 ns_device;
    u64 ns_inode;
    // In the thread state: what proves whose it is, and the way to the current frame
    u64 check;
    u64 root;
    u64 has_cframe;
    u64 cframe_current;
    // The list of thread states: address of its head, and the link
    u64 threads_head;
    u64 next;
    // Where libc keeps the kernel's thread id, when the thread state does not have it
    u64 pthread_tid;
    u64 has_native_id;
    // In a frame
    u64 prefix;
    u64 stride;
    u64 previous;
    // The GIL of the main interpreter; 0: there is none
    u64 gil_locked;
    u64 gil_holder;
};

// The same layout as `Thread` in config.rs.
struct thread {
    u64 state;
    u64 check;
    u64 gil_locked;
    u64 gil_holder;
};

// The same layout as in record.rs.
struct head {
    u64 time;
    u32 tid;
    u32 flags;
    u64 state;
    u64 first;
    u64 next;
    // The current `_PyCFrame` (3.11, 3.12)
    u64 cframe;
    u16 count;
    u16 stride;
    u32 part;
};

#define HAS_STATE 1
#define HOLDS_GIL 2
#define MORE 4
#define FAULT 8
#define FROM_LIST 16

struct scratch {
    struct head head;
    u8 frames[BYTES_MASK + 1 + PREFIX_MASK + 1];
};

struct ids {
    u32 tid;
    u32 tgid;
};

// Maps are made by user space; here they are only names to point at.
struct map {
    u32 unused;
};
SECTION("maps") struct map configs;
SECTION("maps") struct map threads;
SECTION("maps") struct map scratches;
SECTION("maps") struct map rings;
SECTION("maps") struct map programs;

INLINE u64 word(u64 address) {
    u64 value = 0;
    if (read_user(&value, sizeof(value), (void *)address)) return 0;
    return value;
}

INLINE u32 half_word(u64 address) {
    u32 value = 0;
    if (read_user(&value, sizeof(value), (void *)address)) return 0;
    return value;
}

// Goes on from head.next, fills one record and sends it; with more left it calls the next program for the rest.
INLINE int go_on(void *context, struct config *config, struct scratch *scratch) {
    u64 frame = scratch->head.next;
    u32 stride = config->stride & PREFIX_MASK;
    u32 prefix = config->prefix & PREFIX_MASK;
    u32 previous = config->previous & (PREFIX_MASK & ~7);
    u32 offset = 0;
    u32 count = 0;
    scratch->head.first = frame;
    scratch->head.flags &= ~(u32)MORE;
#pragma clang loop unroll(disable)
    for (int i = 0; i < FRAMES; i++) {
        if (!frame) break;
        offset &= BYTES_MASK & ~7;
        if (read_user(scratch->frames + offset, prefix, (void *)frame)) {
            scratch->head.flags |= FAULT;
            break;
        }
        frame = *(u64 *)(scratch->frames + offset + previous);
        offset += stride;
        count++;
    }
    int fault = scratch->head.flags & FAULT;
    int more = frame && !fault;
    scratch->head.next = frame;
    scratch->head.count = count;
    scratch->head.stride = stride;
    if (more) scratch->head.flags |= MORE;
    offset &= BYTES_MASK;
    output(context, &rings, CURRENT_CPU, scratch, sizeof(struct head) + offset);
    if (more) {
        scratch->head.part++;
        tail_call(context, &programs, 0);
    }
    // 1: the event's own record follows.
    return 1;
}

SECTION("program/walk") int walk(void *context) {
    u32 zero = 0;
    u32 cpu = processor_id();
    struct config *config = map_lookup(&configs, &zero);
    struct scratch *scratch = map_lookup(&scratches, &cpu);
    if (!config || !scratch) return 1;

    struct ids ids = {};
    ns_pid_tgid(config->ns_device, config->ns_inode, &ids, sizeof(ids));
    scratch->head.time = ktime();
    scratch->head.tid = ids.tid;
    scratch->head.flags = 0;
    scratch->head.state = 0;
    scratch->head.next = 0;
    scratch->head.part = 0;
    scratch->head.cframe = 0;

    u64 state = 0;
    u64 gil_locked = config->gil_locked;
    u64 gil_holder = config->gil_holder;
    struct thread *known = map_lookup(&threads, &ids.tid);
    if (known && word(known->state + config->check) == known->check) {
        state = known->state;
        gil_locked = known->gil_locked;
        gil_holder = known->gil_holder;
    } else if (config->threads_head) {
        // A thread that has just started, or has made itself a new state.
        u64 next = word(config->threads_head);
#pragma clang loop unroll(disable)
        for (int i = 0; i < LIST; i++) {
            if (!next) break;
            u64 id = word(next + config->check);
            if (!config->has_native_id) id = config->pthread_tid ? half_word(id + config->pthread_tid) : 0;
            if (id && id == ids.tid) {
                state = next;
                scratch->head.flags |= FROM_LIST;
                break;
            }
            next = word(next + config->next);
        }
    }
    if (state) {
        u64 root = word(state + config->root);
        if (config->has_cframe) {
            scratch->head.cframe = root;
            root = root ? word(root + config->cframe_current) : 0;
        }
        scratch->head.state = state;
        scratch->head.next = root;
        scratch->head.flags |= HAS_STATE;
        if (gil_holder && word(gil_holder) == state && (!gil_locked || half_word(gil_locked) == 1))
            scratch->head.flags |= HOLDS_GIL;
    }
    return go_on(context, config, scratch);
}

SECTION("program/more") int more(void *context) {
    u32 zero = 0;
    u32 cpu = processor_id();
    struct config *config = map_lookup(&configs, &zero);
    struct scratch *scratch = map_lookup(&scratches, &cpu);
    if (!config || !scratch) return 1;
    return go_on(context, config, scratch);
}

SECTION(".license") char license[] = "Dual MIT/GPL";
