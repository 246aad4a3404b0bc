/*
 * Ends of interrupts without an exit: case by case, and against a LAPIC that always exits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fake/pc_guest.h"

#define REQUIRE(condition) assert_true(condition)
#include "fake/eoi_model.h"

#define WORD (7 * PAGE_SIZE + 0x40)

static u32 word(void)
{
	u32 value;

	assert_int_equal(memory_read(vm, gpa(WORD), &value, sizeof(value)), 0);
	return value;
}

static void set_word(u32 value)
{
	assert_int_equal(memory_write(vm, gpa(WORD), &value, sizeof(value)), 0);
}

/* @vector comes and is delivered. */
static void serve(unsigned id, u8 vector)
{
	lapic_raise(&vcpus[id], vector, false);
	take(id, vector);
}

static bool is_in_service(unsigned id, u8 vector)
{
	return get(id, X2(ISR) + vector / 32) & 1u << vector % 32;
}

static void begin(void)
{
	enable_all();
	set_word(0xfffffffe);
	set(0, MSR_KVM_PV_EOI, WORD | PV_EOI_ON);
}

static void values_of_the_msr(void **state)
{
	u64 value;

	(void)state;
	enable_all();
	assert_true(cpuid_of(&vcpus[0], KVM_CPUID_SIGNATURE + 1, 0).eax & 1u << 6);
	assert_int_equal(msr_read(&vcpus[0], MSR_KVM_PV_EOI, &value), BAD);
	set(0, MSR_KVM_PV_EOI, WORD | PV_EOI_ON);
	/* Reserved, no RAM, in the balloon: nothing changes. */
	refuses(0, MSR_KVM_PV_EOI, WORD | PV_EOI_RESERVED | PV_EOI_ON);
	refuses(0, MSR_KVM_PV_EOI, PV_EOI_RESERVED);
	refuses(0, MSR_KVM_PV_EOI, MIB(1) | PV_EOI_ON);
	refuses(0, MSR_KVM_PV_EOI, PLATFORM_VIRTIO_BASE | PV_EOI_ON);
	refuses(0, MSR_KVM_PV_EOI, ~0ul & ~(u64)PV_EOI_RESERVED);
	assert_int_equal(memory_inflate(vm, gfn(5), 0), 0);
	refuses(0, MSR_KVM_PV_EOI, 5 * PAGE_SIZE | PV_EOI_ON);
	assert_int_equal(vm->memory.ballooned_pages, 1);
	serve(0, 0x41);
	assert_int_equal(word(), 1);
	/* Off: an address without the bit means nothing. */
	set(0, MSR_KVM_PV_EOI, ~0ul & ~3ul);
	assert_int_equal(word(), 0);
	set(0, X2(EOI), 0);
	serve(0, 0x41);
	assert_int_equal(word(), 0);
	/* The last word of RAM is one. */
	set(0, X2(EOI), 0);
	set(0, MSR_KVM_PV_EOI, (MIB(1) - 4) | PV_EOI_ON);
	serve(0, 0x41);
	assert_true(vcpus[0].lapic->offered);
}

static void ends_without_an_exit(void **state)
{
	(void)state;
	begin();
	serve(0, 0x41);
	assert_int_equal(word(), 0xffffffff);
	set_word(0xfffffffe);
	/* The next one finds it ended, and one of a lower class. */
	serve(0, 0x31);
	assert_int_equal(vcpus[0].eois_without_exit, 1);
	assert_int_equal(word(), 0xffffffff);
	set_word(0xfffffffe);
	assert_false(is_in_service(0, 0x31));
	assert_int_equal(get(0, X2(PPR)), 0);
	assert_int_equal(vcpus[0].eois_without_exit, 2);
	/* A write to EOI beyond that ends nothing. */
	serve(0, 0x41);
	set_word(0xfffffffe);
	set(0, X2(EOI), 0);
	assert_int_equal(lapic_pending(&vcpus[0]), -1);
	assert_int_equal(vcpus[0].eois_without_exit, 3);
}

static void a_guest_may_ignore_the_offer(void **state)
{
	(void)state;
	begin();
	serve(0, 0x41);
	set(0, X2(EOI), 0);
	assert_int_equal(word(), 0xfffffffe);
	assert_false(is_in_service(0, 0x41));
	assert_int_equal(vcpus[0].eois_without_exit, 0);
}

/* What waits behind the one in service needs the exit. */
static void none_while_one_is_pending(void **state)
{
	(void)state;
	begin();
	lapic_raise(&vcpus[0], 0x31, false);
	serve(0, 0x41);
	assert_int_equal(word(), 0xfffffffe);
	vcpus[0].requests = 0;
	set(0, X2(EOI), 0);
	assert_int_equal(vcpus[0].requests, VCPU_REQ_EVENT);
	take(0, 0x31);
	assert_int_equal(word(), 0xffffffff);
	/* One that comes later takes the offer back before the guest runs again. */
	lapic_raise(&vcpus[0], 0x21, false);
	assert_true(vcpus[0].requests & VCPU_REQ_EVENT);
	assert_int_equal(lapic_pending(&vcpus[0]), -1);
	assert_int_equal(word(), 0xfffffffe);
	vcpus[0].requests = 0;
	set(0, X2(EOI), 0);
	assert_int_equal(vcpus[0].requests, VCPU_REQ_EVENT);
	take(0, 0x21);
}

/* The same vector again, from this vCPU and another. */
static void again_while_in_service(void **state)
{
	(void)state;
	begin();
	for (unsigned from = 0; from < 2; from++) {
		serve(0, 0x41);
		set(from, X2(ICR), from ? 0x41 : BIT(18) | 0x41);
		assert_int_equal(lapic_pending(&vcpus[0]), -1);
		assert_int_equal(word(), 0xfffffffe);
		set(0, X2(EOI), 0);
		take(0, 0x41);
		assert_int_equal(word(), 0xffffffff);
		set_word(0xfffffffe);
		assert_int_equal(get(0, X2(PPR)), 0);
	}
}

static void none_when_nested(void **state)
{
	(void)state;
	begin();
	serve(0, 0x41);
	serve(0, 0x51);
	assert_int_equal(word(), 0xfffffffe);
	set(0, X2(EOI), 0);
	assert_true(is_in_service(0, 0x41));
	set(0, X2(EOI), 0);
	assert_int_equal(get(0, X2(PPR)), 0);
}

static void level(unsigned pin, u8 vector)
{
	ioapic_write(vm, 0, 0x10 + 2 * pin);
	ioapic_write(vm, 0x10, vector | BIT(15));
}

static void none_for_a_level(void **state)
{
	(void)state;
	begin();
	level(3, 0x41);
	ioapic_raise(vm, 3);
	take(0, 0x41);
	assert_int_equal(word(), 0xfffffffe);
	set(0, X2(EOI), 0);
	take(0, 0x41); /* high still */
	ioapic_lower(vm, 3);
	set(0, X2(EOI), 0);
	assert_int_equal(lapic_pending(&vcpus[0]), -1);
}

/* A vector of both kinds: the edge's end says nothing of the level, whose own end does. */
static void a_level_behind_an_edge_of_its_vector(void **state)
{
	(void)state;
	begin();
	level(3, 0x41);
	serve(0, 0x41);
	assert_int_equal(word(), 0xffffffff);
	ioapic_raise(vm, 3);
	set_word(0xfffffffe); /* before the kick arrives */
	take(0, 0x41);
	assert_int_equal(word(), 0xfffffffe);
	set(0, X2(EOI), 0);
	take(0, 0x41); /* high still: the broadcast came through */
}

static void withdrawn(void **state)
{
	(void)state;
	begin();
	serve(0, 0x41);
	lapic_withdraw(&vcpus[0], 0x41);
	assert_int_equal(word(), 0xfffffffe);
	take(0, 0x41);
	assert_int_equal(word(), 0xffffffff);
	/* A guest that ends what it has not got yet ends nothing. */
	set_word(0xfffffffe);
	lapic_withdraw(&vcpus[0], 0x41);
	take(0, 0x41);
	assert_true(is_in_service(0, 0x41));
}

static void restart(unsigned id)
{
	set(1 - id, X2(ICR), (u64)id << 32 | DELIVER_INIT << 8 | BIT(14));
	set(1 - id, X2(ICR), (u64)id << 32 | DELIVER_SIPI << 8 | 0x10);
	assert_int_equal(vcpu_take_start(&vcpus[id]).kind, START_SIPI);
}

/* INIT turns it off, and the word may be anything's by then. */
static void init_while_offered(void **state)
{
	(void)state;
	begin();
	serve(0, 0x41);
	assert_int_equal(word(), 0xffffffff);
	restart(0);
	assert_int_equal(word(), 0xffffffff);
	set_word(0x12345679);
	set(0, X2(SVR), 0x1ff);
	assert_int_equal(get(0, X2(PPR)), 0);
	serve(0, 0x41);
	assert_true(is_in_service(0, 0x41));
	assert_int_equal(word(), 0x12345679);
	set(0, X2(EOI), 0);
	assert_false(is_in_service(0, 0x41));
	assert_int_equal(vcpus[0].eois_without_exit, 0);
}

static void turned_off_and_moved_while_offered(void **state)
{
	const u64 other = 9 * PAGE_SIZE;
	u32 value = 0;

	(void)state;
	begin();
	serve(0, 0x41);
	set(0, MSR_KVM_PV_EOI, 0);
	assert_int_equal(word(), 0xfffffffe);
	assert_true(is_in_service(0, 0x41));
	set(0, X2(EOI), 0);
	/* Ended before it is turned off. */
	set(0, MSR_KVM_PV_EOI, WORD | PV_EOI_ON);
	serve(0, 0x41);
	set_word(0xfffffffe);
	set(0, MSR_KVM_PV_EOI, 0);
	assert_false(is_in_service(0, 0x41));
	/* To another word: the offer in the old one is gone, and none is in the new one. */
	set(0, MSR_KVM_PV_EOI, WORD | PV_EOI_ON);
	serve(0, 0x41);
	set(0, MSR_KVM_PV_EOI, other | PV_EOI_ON);
	assert_int_equal(word(), 0xfffffffe);
	assert_int_equal(memory_read(vm, gpa(other), &value, sizeof(value)), 0);
	assert_int_equal(value, 0);
	set(0, X2(EOI), 0);
	serve(0, 0x42);
	assert_int_equal(memory_read(vm, gpa(other), &value, sizeof(value)), 0);
	assert_int_equal(value, 1);
	assert_int_equal(word(), 0xfffffffe);
}

/* Nothing is written to a page that is not there, nor does it come back for that. */
static void page_in_the_balloon(void **state)
{
	u64 populated;

	(void)state;
	begin();
	serve(0, 0x41);
	assert_int_equal(memory_inflate(vm, gfn(7), 0), 0);
	populated = vm->memory.populated_pages;
	/* Nobody can see the offer any more: it must not block what is to come. */
	serve(0, 0x31);
	assert_int_equal(vcpus[0].lapic->offered, 0);
	assert_true(is_in_service(0, 0x31));
	set(0, X2(EOI), 0);
	assert_int_equal(get(0, X2(PPR)), 0);
	assert_int_equal(vm->memory.populated_pages, populated);
	assert_int_equal(vm->memory.ballooned_pages, 1);
	/* Back, but not touched: no offer for which it would need a frame. */
	assert_int_equal(memory_deflate(vm, gfn(7), 0), 0);
	serve(0, 0x41);
	assert_int_equal(vm->memory.populated_pages, populated);
	set(0, X2(EOI), 0);
	assert_int_equal(word(), 0);
	serve(0, 0x41);
	assert_int_equal(word(), 1);
}

/* A page that is being moved to another frame says what the guest last wrote there, and is not
 * written where it was. */
static void page_on_its_way(void **state)
{
	const u64 base = BLOCK_PAGES, at = (base + 3) * PAGE_SIZE;
	const u32 *page;

	(void)state;
	memory_destroy(vm);
	assert_int_equal(memory_create(vm, MIB(8), &fake_ept), 0);
	assert_int_equal(memory_inflate(vm, gfn(base), 0), 0);
	for (u64 i = 1; i < BLOCK_PAGES; i++)
		assert_non_null(memory_page(vm, gfn(base + i)));
	assert_int_equal(memory_deflate(vm, gfn(base), 0), 0);
	assert_non_null(memory_page(vm, gfn(base)));
	enable_all();
	set(0, MSR_KVM_PV_EOI, at | PV_EOI_ON);
	for (unsigned ended = 0; ended < 2; ended++) {
		serve(0, 0x41);
		page = memory_page_now(vm, gfn(base + 3));
		assert_int_equal(*page, 1);
		if (ended)
			*(u32 *)memory_page(vm, gfn(base + 3)) = 0;
		for (unsigned i = 0; i < 20 && fake_level_at(&vm->memory, base + 3); i++)
			memory_collapse_tick(vm);
		assert_null(memory_page_now(vm, gfn(base + 3)));
		lapic_raise(&vcpus[0], 0x31, false);
		assert_int_equal(lapic_pending(&vcpus[0]), ended ? 0x31 : -1);
		page = memory_page_now(vm, gfn(base + 3));
		assert_int_equal(*page, 0);
		assert_int_equal(vcpus[0].eois_without_exit, ended);
		if (!ended) {
			set(0, X2(EOI), 0);
			take(0, 0x31);
			set(0, X2(EOI), 0);
		}
	}
}

/* HLT sees what is pending behind one that has ended. */
static void halt_after_the_end(void **state)
{
	(void)state;
	begin();
	serve(0, 0x51);
	set_word(0xfffffffe);
	vcpu_halt(&vcpus[0], true);
	assert_int_equal(blocks[0], 1);
	lapic_raise(&vcpus[0], 0x41, false);
	assert_int_equal(wakes[0], 2);
	vcpu_halt(&vcpus[0], true);
	assert_int_equal(blocks[0], 1);
	take(0, 0x41);
}

static void alike_with_and_without(void **state)
{
	u64 random = 1;
	u64 cheap = 0, dear = 0;

	(void)state;
	for (unsigned run = 0; run < 10; run++) {
		if (run > 0) {
			teardown(NULL);
			setup(NULL);
		}
		model_begin();
		for (unsigned i = 0; i < 20000; i++) {
			struct model_step step;

			random = random * 6364136223846793005 + 1442695040888963407;
			step = (struct model_step){
				(u8)(random >> 56), (u8)(random >> 48), (u16)(random >> 32)};
			model_step(&step);
		}
		cheap += model_cheap;
		dear += model_dear;
	}
	print_message("%lu ends without an exit, %lu with one\n", cheap, dear);
	/* Both ways were gone. */
	assert_true(cheap > 500 && dear > 500);
}

int main(void)
{
#define PC_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		PC_TEST(values_of_the_msr),
		PC_TEST(ends_without_an_exit),
		PC_TEST(a_guest_may_ignore_the_offer),
		PC_TEST(none_while_one_is_pending),
		PC_TEST(again_while_in_service),
		PC_TEST(none_when_nested),
		PC_TEST(none_for_a_level),
		PC_TEST(a_level_behind_an_edge_of_its_vector),
		PC_TEST(withdrawn),
		PC_TEST(init_while_offered),
		PC_TEST(turned_off_and_moved_while_offered),
		PC_TEST(page_in_the_balloon),
		PC_TEST(page_on_its_way),
		PC_TEST(halt_after_the_end),
		PC_TEST(alike_with_and_without),
	};

	return cmocka_run_group_tests_name("pv_eoi", tests, NULL, NULL);
}
