/*
 * The volatile guest: fills pages that it knows by heart, lets them be discarded, wants more memory
 * than there is, and looks what became of them. The first word of its command line is a mode:
 *
 *   cache  keeps to the rules, and breaks them where the answer is a fault that it can handle
 *   touch  has no handler: touching what is gone must end it
 *   ve     as cache, with virtualization exceptions where there are any, and no page fault
 *   pool   fills the machine with volatile pages, and wants room in the tmem pool for others
 *   flip   its second vCPU sets state bytes at random all the while, but not those of the image
 *   wild   of the image, too
 */
#include <abi/volatile.h>

#include "../hostile/acts.h"
#include "../hostile/machine.h"

#define CACHE_FIRST (MIB(8) / PAGE)
#define CACHE_PAGES (MIB(16) / PAGE)
#define WANT_FIRST  (CACHE_FIRST + CACHE_PAGES)
#define MAGIC       0x7f0000000000ul
#define WORDS       (PAGE / 8)

#define FAULT_WRITE 0x2u

#define INTERRUPT_GATE 0x8e
#define NOT_SLUICE     201
#define NO_SUCH_MODE   202
#define CAME_BACK      203

extern const char page_fault_entry[], virtualization_exception_entry[];
void page_fault(uint64_t address, uint64_t error);
void virtualization_exception(void);

static struct gate idt[32];
static uint8_t states[MIB(512) / PAGE] __attribute__((aligned(4096)));
static uint64_t pages; /* of RAM */

static volatile uint64_t faults, fault_gfn, fault_code;
static volatile bool wrong_fault;

static volatile struct volatile_ve information __attribute__((aligned(4096)));
static volatile uint64_t exceptions, ve_gpa, ve_linear, ve_qualification;

const struct start_info *start_info;

/* Any other page fault comes again for ever, and the guest's time limit ends that. */
void page_fault(uint64_t address, uint64_t error)
{
	uint64_t frame = (address - MAGIC) / PAGE;

	if (!(error & VOLATILE_FAULT) || address % PAGE || frame >= pages) {
		wrong_fault = true;
		return;
	}
	faults++;
	fault_gfn = frame;
	fault_code = error;
	(void)volatile_hold(&states[frame]);
}

static uint8_t state_of(uint64_t frame)
{
	return __atomic_load_n(&states[frame], __ATOMIC_ACQUIRE) & VOLATILE_STATE;
}

/* A page is gone, and no exit was taken. The touch here is one, since the information page is
 * busy. */
void virtualization_exception(void)
{
	uint64_t frame = information.guest_physical_address / PAGE;

	if (!information.busy || information.reason != 48 || frame >= pages) {
		wrong_fault = true;
		return;
	}
	exceptions++;
	ve_gpa = information.guest_physical_address;
	ve_linear = information.linear_address;
	ve_qualification = information.qualification;
	(void)volatile_hold(&states[frame]);
	(void)*(volatile uint64_t *)(frame * PAGE);
	information.busy = 0;
}

static void set_gate(unsigned vector, const char *handler)
{
	uint64_t entry = (uint64_t)handler;

	idt[vector] = (struct gate){
		.offset_low = (uint16_t)entry,
		.selector = KERNEL_CODE,
		.type = INTERRUPT_GATE,
		.offset_middle = (uint16_t)(entry >> 16),
		.offset_high = (uint32_t)(entry >> 32),
	};
}

static void handle_faults(void)
{
	struct table_pointer pointer = {sizeof(idt) - 1, (uint64_t)idt};

	set_gate(VECTOR_PF, page_fault_entry);
	set_gate(VOLATILE_VE_VECTOR, virtualization_exception_entry);
	__asm__ volatile("lidt %0" : : "m"(pointer));
}

static volatile uint64_t *page_at(uint64_t frame)
{
	return (volatile uint64_t *)(frame * PAGE);
}

static int64_t enrol(uint64_t magic)
{
	return hypercall6(HYPERCALL_VOLATILE_REGISTER, 0, pages, (uint64_t)states, magic, 0, 0);
}

static void fill_cache(void)
{
	for (uint64_t frame = CACHE_FIRST; frame < WANT_FIRST; frame++) {
		page_at(frame)[0] = frame;
		page_at(frame)[WORDS - 1] = ~frame;
	}
	for (uint64_t frame = CACHE_FIRST; frame < WANT_FIRST; frame++)
		volatile_release(&states[frame]);
}

/* All of the RAM that is left, so that pages are discarded for it. */
static void want_memory(void)
{
	for (uint64_t frame = WANT_FIRST; frame < pages; frame++)
		page_at(frame)[0] = frame;
}

/* ---- Modes ---------------------------------------------------------------------------------- */

static uint64_t kept, lost;

/* By the rules. */
static uint64_t look_after_hold(uint64_t frame)
{
	uint64_t before = faults;

	if (volatile_hold(&states[frame])) {
		kept++;
		CHECK(page_at(frame)[0] == frame && page_at(frame)[WORDS - 1] == ~frame);
	} else {
		lost++;
		CHECK(page_at(frame)[0] == 0 && page_at(frame)[WORDS - 1] == 0);
	}
	CHECK(faults == before);
	return 0;
}

/* Without asking first: what is there is right, and what is gone says so. */
static uint64_t look_without(uint64_t frame)
{
	uint64_t before = faults, word = page_at(frame)[0];

	if (faults == before) {
		CHECK(word == frame && page_at(frame)[WORDS - 1] == ~frame);
		return 0;
	}
	CHECK(faults == before + 1 && fault_gfn == frame && fault_code == VOLATILE_FAULT);
	CHECK(word == 0 && state_of(frame) == VOLATILE_STABLE);
	CHECK(page_at(frame)[WORDS - 1] == 0);
	return 0;
}

static uint64_t write_without(uint64_t frame)
{
	uint64_t before = faults;

	page_at(frame)[0] = 1;
	CHECK(page_at(frame)[0] == 1);
	if (faults == before) {
		CHECK(page_at(frame)[WORDS - 1] == ~frame);
		return 0;
	}
	CHECK(faults == before + 1 && fault_gfn == frame);
	CHECK(fault_code == (VOLATILE_FAULT | FAULT_WRITE));
	CHECK(page_at(frame)[WORDS - 1] == 0 && state_of(frame) == VOLATILE_STABLE);
	return 0;
}

/* The hypervisor's own access is refused, and there is no fault. */
static uint64_t call_without(uint64_t frame)
{
	uint64_t before = faults;

	if (state_of(frame) == VOLATILE_DISCARDED)
		CHECK(hypercall2(HYPERCALL_CONSOLE_WRITE, frame * PAGE, 1) == -SLUICE_EFAULT);
	CHECK(faults == before);
	return 0;
}

static uint64_t mode_cache(void)
{
	static uint64_t (*const looks[])(uint64_t) = {
		look_after_hold, look_without, write_without, call_without};
	unsigned count = sizeof(looks) / sizeof(looks[0]);

	CHECK(hypercall0(HYPERCALL_VOLATILE_UNREGISTER) == -SLUICE_EINVAL);
	CHECK(hypercall6(HYPERCALL_VOLATILE_REGISTER, 0, pages, pages * PAGE, MAGIC, 0, 0) ==
		-SLUICE_EFAULT);
	CHECK(hypercall6(HYPERCALL_VOLATILE_REGISTER, 0, pages + 1, (uint64_t)states, MAGIC, 0,
		      0) == -SLUICE_EFAULT);
	CHECK(enrol(1ul << 47) == -SLUICE_EINVAL);
	CHECK(enrol(MAGIC) == 0);
	CHECK(enrol(MAGIC) == -SLUICE_EBUSY);
	fill_cache();
	want_memory();
	for (uint64_t frame = CACHE_FIRST; frame < WANT_FIRST; frame++) {
		uint64_t line = looks[frame % count](frame);

		if (line)
			return line;
	}
	for (uint64_t frame = WANT_FIRST; frame < pages; frame++)
		CHECK(page_at(frame)[0] == frame);
	CHECK(!wrong_fault && lost > 0 && faults > 0);
	CHECK(hypercall0(HYPERCALL_VOLATILE_UNREGISTER) == 0);
	print_value("kept", kept);
	print_value("lost", lost);
	print_value("faults", faults);
	return 0;
}

static uint64_t mode_touch(void)
{
	CHECK(enrol(0) == 0);
	fill_cache();
	want_memory();
	for (uint64_t frame = CACHE_FIRST; frame < WANT_FIRST; frame++)
		if (state_of(frame) == VOLATILE_DISCARDED)
			(void)page_at(frame)[0];
	return CAME_BACK;
}

/* ---- Virtualization exceptions -------------------------------------------------------------- */

static int64_t tell_at(uint64_t word)
{
	return hypercall1(HYPERCALL_VOLATILE_VE, word);
}

static uint64_t check_bad_pages(uint64_t here)
{
	CHECK(tell_at(here) == -SLUICE_EINVAL);
	CHECK(tell_at(here | 3) == -SLUICE_EINVAL);
	CHECK(tell_at((here + 8) | VOLATILE_VE_ON) == -SLUICE_EINVAL);
	CHECK(tell_at(pages * PAGE | VOLATILE_VE_ON) == -SLUICE_EFAULT);
	CHECK(tell_at(~0ul << 12 | VOLATILE_VE_ON) == -SLUICE_EFAULT);
	/* Once more, off, and elsewhere. */
	CHECK(tell_at(here | VOLATILE_VE_ON) == 0);
	CHECK(tell_at(here | VOLATILE_VE_ON) == 0);
	CHECK(tell_at(0) == 0);
	CHECK(tell_at(0) == 0);
	CHECK(tell_at(CACHE_FIRST * PAGE | VOLATILE_VE_ON) == 0);
	CHECK(tell_at(here | VOLATILE_VE_ON) == 0);
	return 0;
}

/* Touched where it is not asked for: an exception, no fault, no exit but that of the handler. */
static uint64_t look_with_ve(uint64_t frame, bool write)
{
	bool gone = state_of(frame) == VOLATILE_DISCARDED;
	uint64_t before = exceptions, address = frame * PAGE + 8;

	if (write)
		page_at(frame)[1] = 1;
	else
		(void)page_at(frame)[1];
	if (exceptions == before) {
		CHECK(!gone && page_at(frame)[0] == frame);
		return 0;
	}
	CHECK(exceptions == before + 1 && information.busy == 0);
	CHECK(ve_gpa == address && ve_linear == address);
	CHECK((ve_qualification & 7) == (write ? 2 : 1));
	CHECK(page_at(frame)[0] == 0 && page_at(frame)[1] == write);
	CHECK(state_of(frame) == VOLATILE_STABLE);
	return 0;
}

/* Who knows sets @busy and saves the exception; who does not then gets the page fault. */
static uint64_t look_while_busy(uint64_t frame, bool ask)
{
	uint64_t before = exceptions, before_faults = faults;
	bool gone = state_of(frame) == VOLATILE_DISCARDED;
	bool here = ask ? volatile_hold(&states[frame]) : !gone;

	information.busy = 1;
	CHECK(page_at(frame)[0] == (here ? frame : 0));
	information.busy = 0;
	CHECK(exceptions == before);
	CHECK(faults == before_faults + (!ask && gone));
	return 0;
}

/* The rule is kept and @busy is not set: the handler finds the page stable. */
static uint64_t look_after_hold_with_ve(uint64_t frame)
{
	uint64_t before = exceptions;
	bool here = volatile_hold(&states[frame]);

	CHECK(page_at(frame)[0] == (here ? frame : 0));
	CHECK(exceptions == before + !here);
	return 0;
}

static uint64_t mode_ve(void)
{
	uint64_t here = (uint64_t)&information, line = 0;

	if (!(cpuid(SLUICE_CPUID_FEATURES, 0).ebx & SLUICE_FEATURE_VE)) {
		CHECK(tell_at(here | VOLATILE_VE_ON) == -SLUICE_ENOSYS);
		CHECK(tell_at(0) == -SLUICE_ENOSYS);
		print_value("exceptions", 0);
		return 0;
	}
	CHECK(enrol(MAGIC) == 0);
	line = check_bad_pages(here);
	fill_cache();
	want_memory();
	for (uint64_t frame = CACHE_FIRST; !line && frame < WANT_FIRST; frame++)
		switch (frame % 5) {
		case 0:
			line = look_with_ve(frame, false);
			break;
		case 1:
			line = look_with_ve(frame, true);
			break;
		case 2:
			line = look_while_busy(frame, true);
			break;
		case 3:
			line = look_while_busy(frame, false);
			break;
		default:
			line = look_after_hold_with_ve(frame);
			break;
		}
	if (line)
		return line;
	CHECK(!wrong_fault && exceptions > 0 && faults > 0);
	CHECK(tell_at(0) == 0);
	print_value("exceptions", exceptions);
	print_value("faults", faults);
	return 0;
}

/* ---- Other modes ---------------------------------------------------------------------------- */

#define POOL_PAGES (MIB(4) / PAGE)

/* Pages go into the pool as volatile ones are discarded for it, and all come back. */
static uint64_t mode_pool(void)
{
	static uint64_t page[WORDS] __attribute__((aligned(PAGE)));
	uint64_t gfn = (uint64_t)page / PAGE, in_vain = 0;
	int64_t pool;

	CHECK(enrol(MAGIC) == 0);
	for (uint64_t frame = CACHE_FIRST; frame < pages; frame++) {
		page_at(frame)[0] = frame;
		volatile_release(&states[frame]);
	}
	pool = hypercall3(HYPERCALL_TMEM_POOL_NEW, TMEM_POOL_PERSISTENT, 0, 0);
	CHECK(pool >= 0);
	for (uint32_t n = 0; n < POOL_PAGES; n++) {
		page[0] = n;
		page[WORDS - 1] = ~(uint64_t)n;
		while (hypercall6(HYPERCALL_TMEM_PUT, TMEM_HANDLE(pool, n), 0, 0, 0, gfn, 0) != 0)
			in_vain++;
	}
	CHECK(in_vain > 0);
	for (uint32_t n = 0; n < POOL_PAGES; n++) {
		CHECK(hypercall6(HYPERCALL_TMEM_GET, TMEM_HANDLE(pool, n), 0, 0, 0, gfn, 0) == 0);
		CHECK(page[0] == n && page[WORDS - 1] == ~(uint64_t)n);
	}
	CHECK(!wrong_fault && !faults);
	return 0;
}

static volatile uint64_t flips, flip_first;

static void flip_states(void)
{
	uint64_t random = 1;

	for (;; flips++) {
		random = random * 6364136223846793005u + 1442695040888963407u;
		states[flip_first + (random >> 33) % (pages - flip_first)] = (uint8_t)(random >>
										       60);
	}
}

/* What is read is what was written, or zeros; nothing else can be promised. */
static uint64_t mode_flip(uint64_t first)
{
	uint64_t before;

	flip_first = first;
	CHECK(enrol(MAGIC) == 0);
	fill_cache();
	start_second(flip_states);
	while (!flips)
		__asm__ volatile("pause");
	before = flips;
	for (unsigned round = 0; round < 4; round++) {
		want_memory();
		for (uint64_t frame = CACHE_FIRST; frame < WANT_FIRST; frame++) {
			uint64_t word = page_at(frame)[0];

			CHECK(word == frame || word == 0);
			page_at(frame)[0] = frame;
		}
	}
	CHECK(flips != before && !wrong_fault);
	return 0;
}

int main(const struct start_info *info)
{
	const char *mode = (const char *)info->command_line;
	uint64_t result = NO_SUCH_MODE;

	start_info = info;
	pages = ram_end(start_info) / PAGE;
	if (!guest_on_sluice() || !(cpuid(SLUICE_CPUID_FEATURES, 0).ebx & SLUICE_FEATURE_VOLATILE))
		return NOT_SLUICE;
	handle_faults();
	if (mode && mode[0] == 'c')
		result = mode_cache();
	else if (mode && mode[0] == 't')
		result = mode_touch();
	else if (mode && mode[0] == 'v')
		result = mode_ve();
	else if (mode && mode[0] == 'p')
		result = mode_pool();
	else if (mode && mode[0] == 'f')
		result = mode_flip(CACHE_FIRST);
	else if (mode && mode[0] == 'w')
		result = mode_flip(0);
	print_value("ended", result);
	return (int)result;
}
