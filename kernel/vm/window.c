/*
 * Showing pages of miss filters to guests, and taking them away (kernel/vm/window.h). A page is
 * mapped when the guest first looks at it, and has one reference more for as long. When it leaves
 * the window the engine has filled it with ones, so an old translation says "perhaps" until all
 * processors have passed and the frame leaves limbo.
 *
 * A reader who was slow may touch a place where no page is any more. There stands a page of ones,
 * for the rest of the tick.
 */
#include "kernel/vm/window.h"

#include <abi/errno.h>
#include <string.h>

#include "kernel/core/frame.h"
#include "kernel/core/percpu.h"
#include "kernel/vm/commit.h"
#include "kernel/vm/limbo.h"
#include "kernel/vm/memory_nested.h"
#include "kernel/vm/tmem_port.h"
#include "kernel/vm/vm.h"

/* Nested tables that windows may need: on each of three levels one, and more for each pool. */
#define TABLES_MAX (3 + 3 * TMEM_POOLS_PER_GUEST)
/* Pages taken away under one lock, and in one tick. */
#define COLLECT_PAGES 16U
#define COLLECT_STEPS 8U

/* The page of ones comes with the first window and stays. */
static bool has_ones(struct memory *memory)
{
	void *none = NULL, *page;

	if (__atomic_load_n(&memory->ones, __ATOMIC_ACQUIRE))
		return true;
	page = hypervisor_alloc(0);
	if (!page)
		return false;
	memset(page, 0xff, PAGE_SIZE);
	if (!__atomic_compare_exchange_n(
		    &memory->ones, &none, page, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		hypervisor_free(page, 0);
	return true;
}

/* ---- Showing and hiding; LOCK_MEMORY ------------------------------------------------- */

/* The tables of windows are not among those that the guest's promise covers. */
static int show(struct memory *memory, u64 frame, mfn_t host)
{
	u64 before = memory->table_pages;
	int error = nested_map_shared(memory, frame, host);
	u64 tables = memory->table_pages - before;

	memory->window_tables += tables;
	commit_count_tables(-(s64)tables);
	if (error)
		return error;
	frame_get(host);
	memory->shared_pages++;
	return 0;
}

/* Hides whatever is shown at @frame, or only @host if that is one. */
static void hide(struct memory *memory, u64 frame, mfn_t host)
{
	unsigned level;
	u64 entry = *nested_lookup(memory, frame, &level);
	mfn_t shown = hpa_to_mfn(hpa(entry & NESTED_HPA));

	if (!(entry & memory->layout->present) || (!mfn_is_none(host) && host.raw != shown.raw))
		return;
	nested_detach(memory, frame, 1);
	memory->shared_pages--;
	__atomic_fetch_add(&memory->generation, 1, __ATOMIC_RELEASE);
	frame_put(shown);
}

static int show_ones(struct memory *memory, u64 frame)
{
	u64 *place = &memory->ones_at[memory->ones_next++ % WINDOW_ONES];

	if (*place)
		hide(memory, *place, ptr_to_mfn(memory->ones));
	*place = frame;
	return show(memory, frame, ptr_to_mfn(memory->ones));
}

static void hide_ones(struct memory *memory)
{
	for (unsigned i = 0; i < WINDOW_ONES; i++) {
		if (memory->ones_at[i])
			hide(memory, memory->ones_at[i], ptr_to_mfn(memory->ones));
		memory->ones_at[i] = 0;
	}
}

/* Takes away some of the pages that left windows; how many. */
static unsigned collect(struct vm *vm)
{
	struct memory *memory = &vm->memory;
	void *pages[COLLECT_PAGES];
	unsigned count = 0;
	u32 pool, index;
	u64 epoch;

	spin_lock(&memory->lock);
	for (; count < COLLECT_PAGES && tmem_window_collect(vm->tmem, &pool, &index, &pages[count]);
		count++)
		hide(memory, memory->window + pool * (u64)TMEM_WINDOW_PAGES + index, MFN_NONE);
	spin_unlock(&memory->lock);
	if (!count)
		return 0;
	epoch = epoch_advance();
	for (unsigned i = 0; i < count; i++)
		limbo_add(ptr_to_mfn(pages[i]), 0, FRAME_TMEM, epoch);
	return count;
}

/* ---- What others ask for ------------------------------------------------------------ */

enum outcome window_fault(struct vm *vm, u64 frame, u32 access)
{
	struct memory *memory = &vm->memory;
	u64 place = frame - memory->window;
	void *page;
	int error;

	if (access & (ACCESS_WRITE | ACCESS_EXEC) || !READ_ONCE(memory->windows_open))
		return BAD;
	spin_lock(&memory->lock);
	error = tmem_window_page(vm->tmem, (u32)(place / TMEM_WINDOW_PAGES),
		(u32)(place % TMEM_WINDOW_PAGES), &page);
	if (!error)
		error = show(memory, frame, ptr_to_mfn(page));
	else if (error == -SLUICE_ENOENT)
		error = show_ones(memory, frame);
	spin_unlock(&memory->lock);
	switch (error) {
	case 0:
	case -SLUICE_EBUSY: /* another vCPU was faster */
		return DONE;
	case -SLUICE_EFAULT:
		return BAD;
	default:
		vm_stop(vm, STOP_NO_MEMORY, frame << PAGE_SHIFT);
		return WAIT;
	}
}

s64 window_open(struct vm *vm, u64 pool, gpa_t info)
{
	struct memory *memory = &vm->memory;
	struct tmem_filter_info answer = {
		.window = (memory->window + pool * TMEM_WINDOW_PAGES) << PAGE_SHIFT,
		.window_bytes = TMEM_WINDOW_PAGES * PAGE_SIZE,
	};
	int error;

	if (!memory->window || !has_ones(memory) ||
		!commit_leaves_room(tmem_persistent_held(tmem_store) + TABLES_MAX))
		return -SLUICE_ENOMEM;
	error = tmem_window_open(vm->tmem, (s64)pool, answer.key);
	if (error == -SLUICE_EAGAIN)
		(void)collect(vm); /* that is progress: the call comes again */
	if (error)
		return error;
	WRITE_ONCE(memory->windows_open, true);
	return memory_write(vm, info, &answer, sizeof(answer));
}

void window_tick(struct vm *vm)
{
	struct memory *memory = &vm->memory;

	if (!vm->tmem || !READ_ONCE(memory->windows_open))
		return;
	tmem_window_tick(vm->tmem);
	spin_lock(&memory->lock);
	hide_ones(memory);
	spin_unlock(&memory->lock);
	for (unsigned n = 0; n < COLLECT_STEPS && collect(vm); n++)
		;
}

bool window_close(struct vm *vm)
{
	struct memory *memory = &vm->memory;

	if (!memory->ones)
		return true;
	tmem_window_close_all(vm->tmem);
	spin_lock(&memory->lock);
	hide_ones(memory);
	spin_unlock(&memory->lock);
	if (collect(vm))
		return false;
	limbo_add(ptr_to_mfn(memory->ones), 0, FRAME_HYPERVISOR, epoch_advance());
	memory->ones = NULL;
	return true;
}

bool window_shows(const struct vm *vm, u64 frame, mfn_t host, u8 *class)
{
	const struct memory *memory = &vm->memory;
	u64 place = frame - memory->window;
	void *page;

	if (memory->ones && host.raw == ptr_to_mfn(memory->ones).raw) {
		*class = FRAME_HYPERVISOR;
		return true;
	}
	*class = FRAME_TMEM;
	return vm->tmem &&
	       tmem_window_page(vm->tmem, (u32)(place / TMEM_WINDOW_PAGES),
		       (u32)(place % TMEM_WINDOW_PAGES), &page) == 0 &&
	       ptr_to_mfn(page).raw == host.raw;
}
