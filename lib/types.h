/*
 * The fixed-width names, the typed addresses and the few compiler macros that every floor uses.
 * Pure: compiles in the hypervisor, in guests and on the host.
 */
#ifndef LIB_TYPES_H
#define LIB_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;

/* Guest-physical and host-physical addresses (bytes) and frame numbers (4 KiB units): four types,
 * so that the compiler refuses to mix them. */
typedef struct {
	u64 raw;
} gpa_t;
typedef struct {
	u64 raw;
} hpa_t;
typedef struct {
	u64 raw;
} gfn_t;
typedef struct {
	u64 raw;
} mfn_t;

#define PAGE_SHIFT 12
#define PAGE_SIZE  4096UL
#define PAGE_MASK  (PAGE_SIZE - 1)

#define KIB(n) ((u64)(n) << 10)
#define MIB(n) ((u64)(n) << 20)
#define GIB(n) ((u64)(n) << 30)

/* A block: the 2 MiB unit in which frames are handed to tmem and mapped where possible. */
#define BLOCK_SHIFT 21
#define BLOCK_SIZE  MIB(2)
#define BLOCK_PAGES 512U
#define BLOCK_ORDER 9U

#define MFN_NONE ((mfn_t){~0UL})

/* From numbers, and from one kind to another. Addresses become the frame that they lie in. */
static inline gpa_t gpa(u64 raw)
{
	return (gpa_t){raw};
}
static inline hpa_t hpa(u64 raw)
{
	return (hpa_t){raw};
}
static inline gfn_t gfn(u64 raw)
{
	return (gfn_t){raw};
}
static inline mfn_t mfn(u64 raw)
{
	return (mfn_t){raw};
}
static inline gfn_t gpa_to_gfn(gpa_t a)
{
	return (gfn_t){a.raw >> PAGE_SHIFT};
}
static inline gpa_t gfn_to_gpa(gfn_t n)
{
	return (gpa_t){n.raw << PAGE_SHIFT};
}
static inline mfn_t hpa_to_mfn(hpa_t a)
{
	return (mfn_t){a.raw >> PAGE_SHIFT};
}
static inline hpa_t mfn_to_hpa(mfn_t n)
{
	return (hpa_t){n.raw << PAGE_SHIFT};
}
static inline bool mfn_is_none(mfn_t n)
{
	return n.raw == ~0UL;
}

#define BIT(n)         (1UL << (n))
#define ARRAY_SIZE(a)  (sizeof(a) / sizeof((a)[0]))
#define ROUND_UP(x, a) (((x) + (a)-1) / (a) * (a))
#define MIN(a, b)      ((a) < (b) ? (a) : (b))
#define MAX(a, b)      ((a) > (b) ? (a) : (b))

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#define __must_check        __attribute__((warn_unused_result))
#define __printf_like(f, a) __attribute__((format(printf, f, a)))
#define __aligned_to(n)     __attribute__((aligned(n)))
#define __packed_struct     __attribute__((packed))
#define likely(x)           __builtin_expect(!!(x), 1)
#define unlikely(x)         __builtin_expect(!!(x), 0)

/* A function that only boot runs, on any CPU: its text is given back afterwards (docs/boot.md). */
#define __init __attribute__((section(".init.text")))

/* A function that is not on the way of an exit: made small rather than fast. */
#define COLD __attribute__((cold))

/* The compiler cannot take @x to pieces any more. */
#define HIDE_FROM_COMPILER(x) __asm__("" : "+r"(x))

#define READ_ONCE(x)     __atomic_load_n(&(x), __ATOMIC_RELAXED)
#define WRITE_ONCE(x, v) __atomic_store_n(&(x), (v), __ATOMIC_RELAXED)
/* READ_ONCE() of a word that is compared and used for nothing else, as an operand of the
 * comparison: GCC 12 makes none of an atomic load, nor of a volatile one. */
#ifdef __SANITIZE_THREAD__
#define READ_OPERAND(x) READ_ONCE(x)
#else
#define READ_OPERAND(x) (x)
#endif

/* WRITE_ONCE(*word, *word + change) in one instruction, where WRITE_ONCE() takes three. It is no
 * atomic addition: a lock keeps others from writing. */
static inline void add_once_u32(u32 *word, u32 change)
{
	__asm__("addl %1, %0" : "+m"(*word) : "ri"(change) : "cc");
}
static inline void add_once_u64(u64 *word, u64 change)
{
	__asm__("addq %1, %0" : "+m"(*word) : "re"(change) : "cc");
}

#endif
