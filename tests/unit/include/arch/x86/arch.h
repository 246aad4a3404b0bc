/*
 * The processor floor for hosted tests: found before the real arch/x86/arch.h. RAM is a mapping of
 * the test's process, CPUs are plain structs and the test says which one it runs as
 * (tests/unit/fake/machine.c). Same names and meanings as the real header.
 */
#ifndef ARCH_ARCH_H
#define ARCH_ARCH_H

#include <sched.h>

#include "lib/types.h"

#define MAX_CPUS 64

#define CPU_EVENT_TIMER BIT(0)
#define CPU_EVENT_KICK  BIT(1)
#define CPU_EVENT_UART  BIT(2)
#define CPU_EVENT_NMI   BIT(3)

struct cpu {
	struct cpu *self;
	u32 index;
	u32 apic_id;
	u32 events;
	u32 reserved;
	void *core;
	void *vendor;
	void *arch;
};

/* The CPU that the calling thread plays. */
extern __thread struct cpu *fake_cpu;
static inline struct cpu *this_cpu(void)
{
	return fake_cpu;
}

struct cpu *arch_cpu(unsigned index);
unsigned arch_cpu_count(void);
unsigned arch_start_other_cpus(void);
void arch_kick(unsigned index);
void arch_idle(void);
void arch_interrupt(u8 vector);

/* The other one may wait for this thread's host processor. */
static inline void arch_pause(void)
{
	sched_yield();
}

u64 arch_tsc(void);
u64 arch_tsc_hz(void);
bool arch_tsc_is_synchronous(void);
u64 arch_wall_clock(u64 tsc);
void arch_timer_arm(u64 deadline);
bool arch_timer_is_armed(void);

bool arch_entropy(u64 *word);

/* Where the host-physical address 0 is mapped. */
extern u8 *fake_ram;

static inline void *hpa_to_ptr(hpa_t a)
{
	return fake_ram + a.raw;
}
static inline hpa_t ptr_to_hpa(const void *p)
{
	return (hpa_t){(u64)p - (u64)fake_ram};
}
static inline void *mfn_to_ptr(mfn_t n)
{
	return hpa_to_ptr(mfn_to_hpa(n));
}
static inline mfn_t ptr_to_mfn(const void *p)
{
	return hpa_to_mfn(ptr_to_hpa(p));
}

void arch_copy_page(void *to, const void *from);
void arch_copy_page_away(void *to, const void *from);
#define ARCH_COPY_ROOM KIB(256)
void arch_choose_copy(unsigned choice, void *room);
void arch_clear_page(void *page);

#define XCR0_X87           BIT(0)
#define XCR0_SSE           BIT(1)
#define XCR0_AVX           BIT(2)
#define XCR0_AVX512        (BIT(5) | BIT(6) | BIT(7))
#define XCR0_RESET         XCR0_X87
#define XSAVE_STATES       8
#define XSAVE_LEGACY_BYTES 576

struct xsave_part {
	u32 bytes, offset;
};

struct xsave_layout {
	u64 states;
	u32 instructions;
	u32 reserved;
	struct xsave_part parts[XSAVE_STATES];
};

const struct xsave_layout *arch_xsave(void);

#define FPU_STATE_SIZE 2688
u64 arch_fpu_save(void *state);
void arch_fpu_load(const void *state, u64 xcr0);
void arch_fpu_reset(void *state);
u64 arch_xcr0(void);
void arch_xcr0_set(u64 value);

#define ARCH_COMPRESSOR_BYTES 16416UL
u32 arch_compress_page(void *to, u32 capacity, const void *page, void *state);
int __must_check arch_decompress_page(void *page, const void *from, u32 length);

#define BOOT_RANGES_MAX  128
#define BOOT_MODULES_MAX 64

struct boot_range {
	hpa_t start;
	u64 bytes;
};

struct boot_module {
	const char *name;
	hpa_t start;
	u64 bytes;
};

struct boot_info {
	const char *command_line;
	struct boot_range ram[BOOT_RANGES_MAX];
	unsigned ram_count;
	struct boot_range used[BOOT_RANGES_MAX];
	unsigned used_count;
	struct boot_module modules[BOOT_MODULES_MAX];
	unsigned module_count;
	u64 entry_tsc;
};

const struct boot_info *boot_info(void);
void *arch_early_alloc(u64 bytes, u64 align);
void arch_early_seal(void);

unsigned uart_write(const char *bytes, unsigned count);
void uart_want_interrupt(bool wanted);
void uart_write_wait(const char *bytes, unsigned count);
void uart_start_input(void);
void uart_poll(void);
bool uart_has_input(void);
int uart_read(void);
u32 uart_overruns(void);
void screen_write(const char *bytes, unsigned count);

__attribute__((noreturn)) void arch_halt(void);

#endif
