/*
 * The audit counts every user of every frame in the frame's own scratch field (struct frame.next,
 * unused while a frame is allocated) and marks what the lists hold in its class, so it needs no
 * memory. First the lists, whose links share that field; then all who hold frames; then one sweep
 * that compares.
 *
 * Of the hypervisor's own frames only the tables of VMs are found again by a walk; the others
 * (image, stacks, objects) and RAM disks are checked for class and count alone.
 */
#include "kernel/vm/audit_internal.h"

#include <stdarg.h>
#include <stdio.h>

#include "kernel/core/log.h"
#include "kernel/vm/limbo.h"
#include "kernel/vm/tmem_port.h"
#include "tmem/tmem.h"

static u64 discrepancies;

/* The frame table, while an audit runs. */
static struct frame *table;
static u64 table_end;

static const char *const class_names[FRAME_CLASSES] = {
	[FRAME_ABSENT] = "absent",
	[FRAME_FREE] = "free",
	[FRAME_HYPERVISOR] = "hypervisor",
	[FRAME_GUEST] = "guest",
	[FRAME_TMEM] = "tmem",
	[FRAME_DEVICE] = "device",
	[FRAME_LIMBO] = "limbo",
};

static const char *class_name(u8 class)
{
	class &= (u8)~FRAME_MARK;
	return class < FRAME_CLASSES ? class_names[class] : "unknown";
}

void audit_report(const char *format, ...)
{
	char line[192];
	va_list arguments;

	if (discrepancies++ >= AUDIT_REPORTS)
		return;
	va_start(arguments, format);
	vsniprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	log_error("audit: %s", line);
}

/* What audit_met() found wrong. */
static bool report_met(mfn_t at, enum frame_class class, u16 owner)
{
	const struct frame *frame = frame_of(at);

	if (!frame) {
		audit_report("frame %#lx is used as %s, but is no RAM", (unsigned long)at.raw,
			class_name((u8) class));
		return false;
	}
	audit_report("frame %#lx is used as %s of guest %u, but is %s of guest %u",
		(unsigned long)at.raw, class_name((u8) class), owner, class_name(frame->class),
		frame->owner);
	return frame->class == class;
}

bool audit_met(mfn_t at, enum frame_class class, u16 owner, u32 users)
{
	struct frame *frame = &table[at.raw];

	if (unlikely(at.raw >= table_end || frame->class != class || frame->owner != owner))
		return report_met(at, class, owner);
	frame->next += users;
	return true;
}

static void check_lists(void)
{
	mfn_t wrong;
	u64 found = frames_check_free_lists(&wrong);

	if (found)
		audit_report("%lu free lists are corrupted, first at frame %#lx",
			(unsigned long)found, (unsigned long)wrong.raw);
	if (limbo_check(&wrong))
		audit_report(
			"the limbo queue is corrupted at frame %#lx", (unsigned long)wrong.raw);
}

/* Clears the scratch fields. Frames on lists need theirs for the links. */
static void clear_scratch(void)
{
	for (struct frame *frame = table; frame < table + table_end; frame++)
		if (frame->class > FRAME_FREE && frame->class < FRAME_LIMBO)
			frame->next = 0;
}

static void visit_tmem(void *page, void *argument)
{
	(void)argument;
	audit_met(ptr_to_mfn(page), FRAME_TMEM, 0, 1);
}

static void check_allocated(u64 at, const struct frame *frame)
{
	bool walked = frame->class == FRAME_GUEST || frame->class == FRAME_TMEM ||
		      (frame->class == FRAME_HYPERVISOR && frame->owner != 0);
	u32 users = walked ? frame->next : frame->next + 1;

	if (likely(users == frame->refs))
		return;
	if (walked && users == 0)
		audit_report("frame %#lx is lost: %s of guest %u with %u references, used nowhere",
			(unsigned long)at, class_name(frame->class), frame->owner, frame->refs);
	else
		audit_report("frame %#lx, %s of guest %u, has %u references, but %u users",
			(unsigned long)at, class_name(frame->class), frame->owner, frame->refs,
			users);
}

/* Compares every frame with what was met, and takes the marks off. */
static void sweep(u64 *count)
{
	for (u64 at = 0; at < table_end; at++) {
		struct frame *frame = &table[at];

		switch (frame->class) {
		case FRAME_ABSENT:
			break;
		case FRAME_FREE | FRAME_MARK:
		case FRAME_LIMBO | FRAME_MARK:
			frame->class &= (u8)~FRAME_MARK;
			break;
		case FRAME_FREE:
		case FRAME_LIMBO:
			audit_report("frame %#lx is lost: %s, but on no list", (unsigned long)at,
				class_name(frame->class));
			break;
		case FRAME_HYPERVISOR:
		case FRAME_GUEST:
		case FRAME_TMEM:
		case FRAME_DEVICE:
			check_allocated(at, frame);
			break;
		default:
			audit_report("frame %#lx has the unknown class %u", (unsigned long)at,
				frame->class);
			continue;
		}
		count[frame->class]++;
	}
}

static void compare_counters(const u64 *count)
{
	for (unsigned class = FRAME_FREE; class < FRAME_CLASSES; class ++)
		if (count[class] != frames_of_class(class))
			audit_report("%lu frames are %s, but the counter says %lu",
				(unsigned long)count[class], class_name((u8) class),
				(unsigned long)frames_of_class(class));
}

u64 audit_run(void)
{
	u64 count[FRAME_CLASSES] = {0};
	struct vm *vm;

	discrepancies = 0;
	table = frames_table();
	table_end = frames_end();
	check_lists();
	clear_scratch();
	for_each_vm (vm)
		audit_memory(vm);
	if (tmem_store && tmem_audit(tmem_store, visit_tmem, NULL))
		audit_report("the tmem store is inconsistent");
	sweep(count);
	compare_counters(count);
	log_line(discrepancies ? LOG_ERROR : LOG_INFO,
		"audit: %lu discrepancies in %lu frames (free %lu, hypervisor %lu, guest %lu, "
		"tmem %lu, device %lu, limbo %lu)",
		(unsigned long)discrepancies, (unsigned long)frames_total(),
		(unsigned long)count[FRAME_FREE], (unsigned long)count[FRAME_HYPERVISOR],
		(unsigned long)count[FRAME_GUEST], (unsigned long)count[FRAME_TMEM],
		(unsigned long)count[FRAME_DEVICE], (unsigned long)count[FRAME_LIMBO]);
	return discrepancies;
}
