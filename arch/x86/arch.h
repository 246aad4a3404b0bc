/*
 * What the processor floor offers to everything above it. The core includes this header and no
 * other of arch/x86/. All functions run with host interrupts off unless they say otherwise.
 */
#ifndef ARCH_ARCH_H
#define ARCH_ARCH_H

#include "lib/types.h"

#define MAX_CPUS 64

/* ---- This processor ------------------------------------------------------------------------ */

/* Why a CPU should return to its dispatch loop: set by its own interrupt handlers. */
#define CPU_EVENT_TIMER BIT(0) /* the LAPIC timer reached its deadline */
#define CPU_EVENT_KICK  BIT(1) /* another CPU wants attention */
#define CPU_EVENT_UART  BIT(2) /* the UART can take bytes, or has one */
#define CPU_EVENT_NMI   BIT(3)

/*
 * The per-CPU block at GS base. Written by its own CPU only, with interrupts off.
 * Entry code relies on the offsets of @self and @index (arch/x86/asm_offsets.c).
 */
struct cpu {
	struct cpu *self;
	u32 index; /* 0..cpu_count-1, 0 is the boot processor */
	u32 apic_id;
	u32 events; /* CPU_EVENT_* not yet taken */
	u32 reserved;
	void *core;   /* struct percpu of the core */
	void *vendor; /* state of VMX or SVM for this CPU */
	void *arch;   /* GDT, TSS, stacks: private to arch/x86/ */
};

/* The block of the CPU that this runs on; a context that may move to another must not keep it. */
static inline struct cpu *this_cpu(void)
{
	struct cpu *cpu;

	__asm__("mov %%gs:0, %0" : "=r"(cpu));
	return cpu;
}

/* Processors by their index from 0, which is the boot CPU, and how many there are. */
struct cpu *arch_cpu(unsigned index);
unsigned arch_cpu_count(void);

/* Makes CPU @index leave guest mode or its idle state soon, with CPU_EVENT_KICK set. Any context.
 */
void arch_kick(unsigned index);

/* In loops that wait for another processor. */
static inline void arch_pause(void)
{
	__builtin_ia32_pause();
}

/* Waits for the next interrupt (sti; hlt; cli); returns at once if events are pending. */
void arch_idle(void);

/* The one place where interrupts arrive, from the IDT and from both vendors' exits: notes the event
 * in this CPU's block and acknowledges the LAPIC. */
void arch_interrupt(u8 vector);

/* ---- Time ---------------------------------------------------------------------------------- */

/* The time stamp counter; all CPUs' are taken to be the same, and compared at boot. */
static inline u64 arch_tsc(void)
{
	u32 lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return (u64)hi << 32 | lo;
}

/* TSC ticks per second, measured at boot. */
u64 arch_tsc_hz(void);
/* Whether the TSCs of all processors were found to agree when they started. */
bool arch_tsc_is_synchronous(void);

/* Nanoseconds since 1970 at the moment @tsc, which was not before boot: by the machine's real-time
 * clock, taken to be UTC, as it was read at boot. */
u64 arch_wall_clock(u64 tsc);

/* Arms this CPU's timer for the TSC value @deadline (a past one fires at once); ~0 disarms it. */
void arch_timer_arm(u64 deadline);
/* Whether this CPU's timer has yet to fire. */
bool arch_timer_is_armed(void);

/* A word for the seed of a generator (kernel/core/random.h), no random number by itself. False: the
 * processor has no source for that, and it is from timing. One CPU at a time. */
bool arch_entropy(u64 *word);

/* ---- Memory -------------------------------------------------------------------------------- */

/* Every frame of RAM is mapped here, read-write and never executable. */
#define DIRECT_MAP 0xffff800000000000UL

/* The direct map: all of RAM is there. */
static inline void *hpa_to_ptr(hpa_t a)
{
	return (void *)(a.raw + DIRECT_MAP);
}
static inline hpa_t ptr_to_hpa(const void *p)
{
	return (hpa_t){(u64)p - DIRECT_MAP};
}
static inline void *mfn_to_ptr(mfn_t n)
{
	return hpa_to_ptr(mfn_to_hpa(n));
}
static inline mfn_t ptr_to_mfn(const void *p)
{
	return hpa_to_mfn(ptr_to_hpa(p));
}

/* Whole 4 KiB pages, both page-aligned; may use vector registers and keep the guest's values. The
 * second is for a copy that nobody will read soon: it may go past the caches. Either is complete
 * for whoever sees a later store of this CPU. */
void arch_copy_page(void *to, const void *from);
void arch_copy_page_away(void *to, const void *from);
void arch_clear_page(void *page);

/* States that XCR0 switches on, by its bits (Intel SDM vol. 1, 13.1). */
#define XCR0_X87     BIT(0)
#define XCR0_SSE     BIT(1)
#define XCR0_AVX     BIT(2)
#define XCR0_AVX512  (BIT(5) | BIT(6) | BIT(7))
#define XCR0_RESET   XCR0_X87
#define XSAVE_STATES 8 /* bits 0 to 7 */
/* x87 and SSE state, and the header, with which every XSAVE area begins. */
#define XSAVE_LEGACY_BYTES 576

/* A subleaf of CPUID leaf 0xd: where the state stands in an area of standard format. */
struct xsave_part {
	u32 bytes, offset;
};

/* What guests may use of XSAVE: as the boot processor has it, and every other. */
struct xsave_layout {
	u64 states;       /* XCR0's bits; 0: no XSAVE */
	u32 instructions; /* CPUID leaf 0xd, subleaf 1, EAX */
	u32 reserved;
	struct xsave_part parts[XSAVE_STATES]; /* from 2 on */
};

/* Constant after arch_start_boot_cpu(). */
const struct xsave_layout *arch_xsave(void);

/* A guest's x87 and vector state, 64-byte aligned: an XSAVE area in standard format, of all states
 * of arch_xsave(), or an FXSAVE image where that has none. Room for AVX-512 as Intel lays it out.
 */
#define FPU_STATE_SIZE 2688
/* Returns the guest's XCR0, which changes. */
u64 arch_fpu_save(void *state);
/* Nothing stays of what was loaded before. @xcr0: as arch_fpu_save() said, at first XCR0_RESET. */
void arch_fpu_load(const void *state, u64 xcr0);
/* As a processor has it after a reset (Intel SDM vol. 3, table 9-1). */
void arch_fpu_reset(void *state);
/* XCR0 of the guest whose state is loaded; to be set to a value that was checked. With XSAVE only.
 */
u64 arch_xcr0(void);
void arch_xcr0_set(u64 value);

/*
 * A page compressed as one LZ4 block, and back (arch/x86/compress.c). The library uses vector
 * registers; both keep the guest's values. What is read must not be a guest's memory, which could
 * change meanwhile; what is written may be, since nothing is decided by what is read back of it.
 *
 * arch_compress_page(): @to holds @capacity bytes, @state is ARCH_COMPRESSOR_BYTES of this CPU's,
 * 8-byte aligned, contents of no importance. Returns the bytes written, 0 if they would not fit;
 * the same page gives the same bytes every time.
 * arch_decompress_page(): 0, or -EINVAL if the @length bytes at @from are not just one page, which
 * then has undefined contents; never writes outside of it.
 */
#define ARCH_COMPRESSOR_BYTES 16416UL
u32 arch_compress_page(void *to, u32 capacity, const void *page, void *state);
int __must_check arch_decompress_page(void *page, const void *from, u32 length);

/* ---- What GRUB handed over ------------------------------------------------------------------- */

#define BOOT_RANGES_MAX  128
#define BOOT_MODULES_MAX 64

struct boot_range {
	hpa_t start;
	u64 bytes;
};

struct boot_module {
	const char *name; /* first word of its multiboot string */
	hpa_t start;
	u64 bytes;
};

struct boot_info {
	const char *command_line;
	struct boot_range
		ram[BOOT_RANGES_MAX]; /* all usable RAM, page-aligned, ascending, disjoint */
	unsigned ram_count;
	/* Parts of it in use: image, early page tables, modules; page-aligned, ascending, disjoint.
	 * Final once arch_early_seal() was called. */
	struct boot_range used[BOOT_RANGES_MAX];
	unsigned used_count;
	struct boot_module modules[BOOT_MODULES_MAX];
	unsigned module_count;
	u64 entry_tsc; /* TSC at the multiboot entry */
};

/* Valid from the first line of kernel_main() on; lives forever. */
const struct boot_info *boot_info(void);

/* Zeroed memory for tables that exist before frames do; NULL if no RAM is left. Never freed;
 * appears in boot_info()->used. Refused (NULL) after arch_early_seal(). */
void *arch_early_alloc(u64 bytes, u64 align);
void arch_early_seal(void);

/*
 * Takes what only boot runs (__init) out of the address space and makes it plain RAM: returns those
 * frames, which are the caller's; *@text_bytes of them were text. Once, with every other CPU
 * stopped outside of it; each of those calls arch_flush_translations() before it goes on.
 */
struct boot_range arch_release_init(u64 *text_bytes);
/* Forgets this CPU's own translations, global ones included. */
void arch_flush_translations(void);

/* ---- The boot order, as kernel_main() calls it
 * --------------------------------------------------- */

/* Exceptions, UART and the boot CPU's own block. Must come first. */
void arch_start_boot_cpu(void);
/* ACPI tables, LAPIC (x2APIC where there is one), timer and TSC frequency. Returns 0, or a negative
 * errno after logging what is missing. */
int __must_check arch_start_machine(void);
/* Chooses how pages are copied: the fastest way by measuring all on @room (ARCH_COPY_ROOM bytes,
 * only used meanwhile; NULL: unmeasured, the plain loop) if @choice is 0, else the way @choice - 1
 * of copy.h. Logs the choice and what was measured. Before other processors start. */
#define ARCH_COPY_ROOM KIB(256)
void arch_choose_copy(unsigned choice, void *room);
/* Starts every processor that ACPI lists. Each calls cpu_main() of arch/x86/port.h on its own
 * stack. Returns the number running. A CPU that does not answer is logged and left out. */
unsigned arch_start_other_cpus(void);

/* ---- Serial port and screen
 * ---------------------------------------------------------------------------------- */

/* Writes at most one transmit FIFO of bytes if it is empty; returns the bytes taken. Never waits.
 */
unsigned uart_write(const char *bytes, unsigned count);
/* Asks for CPU_EVENT_UART on the boot CPU once the FIFO is empty again; without a port that is now.
 */
void uart_want_interrupt(bool wanted);
/* Writes all bytes, waiting for the port: only for BUG, early boot and shutdown. */
void uart_write_wait(const char *bytes, unsigned count);
/* From now on received bytes are kept, and CPU_EVENT_UART on the boot CPU tells of them; until then
 * none is looked at. */
void uart_start_input(void);
/* Looks for input where no interrupt may have told of it: there is no IOAPIC, or the processor kept
 * it back (docs/testing.md, "Emulators"). Boot CPU, before log_drain(). */
void uart_poll(void);
/* Whether uart_read() has a byte. Boot CPU. */
bool uart_has_input(void);
/* A received byte, 0 to 255, or -1. Boot CPU; serialized with the writers. */
int uart_read(void);
/* How often the port lost bytes because nobody took them in time. */
u32 uart_overruns(void);

/* Draws @count bytes at the end of what is on the screen; does nothing without one. Knows LF, CR
 * and ESC [ K. The caller serializes. */
void screen_write(const char *bytes, unsigned count);

/* Whether the 16 bytes at @address lie on a stack of this CPU, so that BUG may read a frame there.
 */
bool arch_on_stack(u64 address);
/* CR2: the address of the last page fault. */
u64 arch_fault_address(void);

/* ---- The end ------------------------------------------------------------------------------------
 */

/* Stops all processors but this one (for BUG and for shutdown). */
void arch_stop_other_cpus(void);
__attribute__((noreturn)) void arch_halt(void);
__attribute__((noreturn)) void arch_reboot(void);
/* ACPI S5 where the FADT allows, then the emulators' own ports, then arch_halt(). */
__attribute__((noreturn)) void arch_power_off(void);

#endif
