/*
 * A guest that ends interrupts without an exit, beside a LAPIC whose every EOI exits: the input is
 * the program of fake/eoi_model.h, and in between hostile values in the MSR and in its word. After
 * hostile ones nothing is compared, but the audit finds nothing wrong, and no byte of the guest's
 * memory changes but bit 0 of a word that it named.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
#include "tests/fuzz/fuzz.h"

/* What pc_guest.h wants of cmocka. */
#define assert_int_equal(a, b) REQUIRE((u64)(a) == (u64)(b))
#define assert_true(a)         REQUIRE(a)
#include "fake/pc_guest.h"

#include "fake/eoi_model.h"
#include "kernel/vm/audit.h"

#define PAGES (MIB(1) / PAGE_SIZE)

/* Which words may have bit 0 set by now, and what the memory held before. */
static bool named[MIB(1) / 4];
static u8 before[PAGES][PAGE_SIZE];
static bool was_there[PAGES];

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return 0;
}

static void remember(void)
{
	for (u64 i = 0; i < PAGES; i++) {
		const u8 *page = memory_page_now(vm, gfn(i));

		was_there[i] = page;
		if (page)
			memcpy(before[i], page, PAGE_SIZE);
	}
}

static void check_memory(void)
{
	static const u8 zeros[PAGE_SIZE];

	for (u64 i = 0; i < PAGES; i++) {
		const u8 *page = memory_page_now(vm, gfn(i));
		const u8 *old = was_there[i] ? before[i] : zeros;

		if (!page || memcmp(page, old, PAGE_SIZE) == 0)
			continue;
		for (unsigned byte = 0; byte < PAGE_SIZE; byte++) {
			bool may = byte % 4 == 0 && named[(i * PAGE_SIZE + byte) / 4];

			REQUIRE(((page[byte] ^ old[byte]) & ~(may ? PV_EOI_OFFERED : 0)) == 0);
		}
	}
}

/* Whatever the value, in whatever state. */
static void any_value(unsigned id, u64 value)
{
	enum outcome outcome = msr_write(&vcpus[id], MSR_KVM_PV_EOI, value);

	REQUIRE(outcome == DONE || outcome == BAD);
	REQUIRE(!(value & PV_EOI_RESERVED) || outcome == BAD);
	if (outcome == DONE && (value & PV_EOI_ON)) {
		REQUIRE(value < MIB(1));
		named[value / 4] = true;
	}
}

/* Nothing is known of what the guest has ended. */
static void hostile_step(const struct model_step *step, u64 value)
{
	unsigned id = step->vcpu % VCPUS;
	struct vcpu *vcpu = &vcpus[id];
	u64 at = step->number % (MIB(1) / 4) * 4, seen;
	int vector;
	u32 *word;

	remember();
	switch (step->what % 8) {
	case 0:
		any_value(id, value);
		break;
	case 1:
		any_value(id, at | PV_EOI_ON);
		break;
	case 2:
		word = (u32 *)memory_page(vm, gfn(at / PAGE_SIZE));
		if (word)
			word[at % PAGE_SIZE / 4] = (u32)value;
		return;
	case 3:
		if (memory_inflate(vm, gfn(at / PAGE_SIZE), 0) != 0)
			(void)!memory_deflate(vm, gfn(at / PAGE_SIZE), 0);
		fake_all_pass();
		limbo_drain();
		return;
	case 4:
		(void)!msr_write(vcpu, X2((u32)value % 0x40), value >> 32);
		break;
	case 5:
		(void)!msr_read(vcpu, X2((u32)value % 0x40), &seen);
		break;
	default:
		vector = lapic_pending(vcpu);
		if (vector >= 0)
			lapic_accept(vcpu, (u8)vector);
		if (vector >= 0 && (value & 3) == 0)
			lapic_withdraw(vcpu, (u8)vector);
		break;
	}
	check_memory();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool hostile = size > 0 && (data[0] & 1);

	setup(NULL);
	model_begin();
	memset(named, 0, sizeof(named));
	while (size >= 12) {
		struct model_step step = {data[0] >> 1, data[1], (u16)(data[2] << 8 | data[3])};
		u64 value;

		memcpy(&value, data + 4, sizeof(value));
		data += 12;
		size -= 12;
		if (hostile)
			hostile_step(&step, value);
		else
			model_step(&step);
	}
	REQUIRE(audit_run() == 0);
	teardown(NULL);
	return 0;
}
