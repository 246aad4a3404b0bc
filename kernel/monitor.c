/*
 * See monitor.h. Owns the line that is typed, the guest that it goes to instead, and the command
 * under way. Replies are lines of the log (LOG_REPLY); none begins before there is room for it, so
 * that a flood of commands waits for the port like everything else. What a command shows is in
 * monitor_show.c.
 */
#include "kernel/monitor.h"

#include <abi/errno.h>
#include <abi/tmem_control.h>

#include "arch/x86/guest/ioapic.h"
#include "arch/x86/guest/uart.h"
#include "kernel/command.h"
#include "kernel/core/log.h"
#include "kernel/ending.h"
#include "kernel/guests.h"
#include "kernel/line_edit.h"
#include "kernel/monitor_show.h"
#include "kernel/restart.h"
#include "kernel/virtio/console.h"
#include "kernel/vm/audit.h"
#include "kernel/vm/balloon_control.h"
#include "kernel/vm/vm.h"
#include "kernel/world.h"

#include <string.h>

#define DETACH    0x1d /* ctrl-] */
#define ERROR_MAX 160

bool monitor_is_busy;

static struct line_edit line;
/* Bytes were lost while the line was typed if the port counts others than these. */
static u32 overruns_seen;
/* Messages about bad lines: two machines that answer each other must come to an end. Each good
 * command makes up for them. */
static struct rate_limit complaints;

/* Who gets what is typed; NULL: the commands do. Bytes it had no room for. */
static struct vm *attached;
static u32 refused;

/* The command under way, and how far it has come. */
static struct {
	enum { LIST_GUESTS, SET_CAP, RUN_AUDIT } kind;
	unsigned slot; /* LIST_GUESTS: the next */
	struct vm *vm;
	u64 persistent_max, ephemeral_max; /* SET_CAP: pages */
} job;

#define reply(...) log_line(LOG_REPLY, __VA_ARGS__)

__init void monitor_start(const struct machine_config *machine)
{
	if (machine->console == CONSOLE_UART)
		uart_start_input();
}

/* ---- Commands ------------------------------------------------------------------------ */

static struct vm *guest_named(const char *name)
{
	struct vm *vm;

	for_each_vm (vm)
		if (strcmp(vm->config->name, name) == 0)
			return vm;
	reply("there is no guest \"%s\"; \"guests\" lists those there are", name);
	return NULL;
}

static bool is_running(const struct vm *vm)
{
	if (!vm_is_stopped(vm))
		return true;
	reply("guest \"%s\" has ended: %s", vm->config->name, stop_reason_name(vm->stop_reason));
	return false;
}

static void help(void)
{
	for (unsigned kind = 0; kind < COMMANDS; kind++)
		reply("%-40s %s", command_usage((enum command_kind)kind),
			command_help((enum command_kind)kind));
}

static void attach(struct vm *vm)
{
	attached = vm;
	refused = 0;
	reply("console of guest \"%s\": ctrl-] ends it", vm->config->name);
	log_watch(vm->console);
}

static void detach(void)
{
	bool lost = refused || uart_overruns() != overruns_seen;

	overruns_seen = uart_overruns(); /* of no command's line */
	reply("console of guest \"%s\" is left%s", attached->config->name,
		lost ? "; it did not get all that was typed" : "");
	attached = NULL;
	log_show_typed("", 0);
}

void monitor_guest_ends(const struct vm *vm)
{
	if (vm == attached)
		detach();
}

static void set_policy(u64 policy)
{
	if (policy == COMMAND_NO_VALUE) {
		reply("policy: %s", command_policies[balloon_control_policy()]);
		return;
	}
	balloon_control_set((u32)policy);
	reply("policy: %s from the next tick on", command_policies[policy]);
}

static void set_level(u64 level)
{
	if (level != COMMAND_NO_VALUE)
		log_set_level((int)level);
	reply("log: %s and what is worse", command_levels[log_level()]);
}

/* The commands for a guest's use of tmem. */
static void control_tmem(const struct command *command, struct vm *vm)
{
	const char *name = vm->config->name;
	struct tmem_guest_info info;

	if (!vm->tmem) {
		reply("guest \"%s\" has no tmem", name);
		return;
	}
	switch (command->kind) {
	case COMMAND_FREEZE:
	case COMMAND_THAW:
		tmem_client_freeze(vm->tmem, command->kind == COMMAND_FREEZE);
		reply("guest \"%s\": %s", name,
			command->kind == COMMAND_FREEZE ? "frozen" : "thawed");
		break;
	case COMMAND_WEIGHT:
		if (tmem_client_set_weight(vm->tmem, command->value))
			reply("weight: %lu is not valid", (unsigned long)command->value);
		else
			reply("guest \"%s\": weight %lu", name, (unsigned long)command->value);
		break;
	default:
		tmem_client_info(vm->tmem, &info);
		job.kind = SET_CAP;
		job.vm = vm;
		job.persistent_max = command->persistent ? command->value : info.persistent_max;
		job.ephemeral_max = command->persistent ? info.ephemeral_max : command->value;
		monitor_is_busy = true;
	}
}

/* What comes of it is up to the guest. */
static void press_power_button(struct vm *vm)
{
	vm->restart.stays_off = true;
	ioapic_raise(vm, PLATFORM_POWER_GSI);
	reply("guest \"%s\": asked to shut down", vm->config->name);
}

static void press_all(void)
{
	struct vm *vm;

	for_each_vm (vm)
		if (!vm_is_stopped(vm))
			press_power_button(vm);
}

static void power_off(void)
{
	struct vm *vm;

	reply("powering off");
	ending_must_power_off();
	restart_no_more();
	for_each_vm (vm)
		vm_stop(vm, STOP_OPERATOR, 0);
}

static void start_again(struct vm *vm, bool may_run)
{
	if (!vm->image)
		reply("guest \"%s\" cannot be started again: its restart is \"never\"",
			vm->config->name);
	else if (!may_run && !vm_is_stopped(vm))
		reply("guest \"%s\" runs", vm->config->name);
	else
		restart_order(vm);
}

/* Those that name a guest. */
static void act_on(const struct command *command, struct vm *vm)
{
	if (command->kind == COMMAND_GUEST) {
		show_guest(vm);
		return;
	}
	if (command->kind == COMMAND_START || command->kind == COMMAND_RESTART) {
		start_again(vm, command->kind == COMMAND_RESTART);
		return;
	}
	if (command->kind == COMMAND_STOP && restart_cancel(vm)) {
		reply("guest \"%s\" is not started again", vm->config->name);
		return;
	}
	if (!is_running(vm))
		return;
	if (command->kind == COMMAND_STOP)
		vm_stop(vm, STOP_OPERATOR, 0);
	else if (command->kind == COMMAND_SHUTDOWN)
		press_power_button(vm);
	else if (command->kind == COMMAND_CONSOLE)
		attach(vm);
	else
		control_tmem(command, vm);
}

static void act(const struct command *command)
{
	struct vm *vm;

	switch (command->kind) {
	case COMMAND_HELP:
		help();
		break;
	case COMMAND_GUESTS:
		show_guests_head();
		job.kind = LIST_GUESTS;
		job.slot = 0;
		monitor_is_busy = true;
		break;
	case COMMAND_POOL:
		show_pool();
		break;
	case COMMAND_POLICY:
		set_policy(command->value);
		break;
	case COMMAND_LOG:
		set_level(command->value);
		break;
	case COMMAND_AUDIT:
		job.kind = RUN_AUDIT;
		monitor_is_busy = true;
		break;
	case COMMAND_POWEROFF:
		power_off();
		break;
	case COMMAND_SHUTDOWN:
		if (strcmp(command->guest, "all") == 0) {
			press_all();
			break;
		}
		/* fall through */
	default:
		vm = guest_named(command->guest);
		if (vm)
			act_on(command, vm);
	}
}

/* ---- What takes more than one turn ---------------------------------------------------- */

/* A line a turn; true at the end. */
static bool list_next(void)
{
	while (job.slot < VMS_MAX) {
		struct vm *vm = vm_at(job.slot++);

		if (vm) {
			show_guests_row(vm);
			return false;
		}
	}
	return true;
}

/* Ephemeral pages beyond the cap go 64 a turn. */
static bool set_cap(void)
{
	const char *name = job.vm->config->name;
	int error;

	if (!is_running(job.vm))
		return true;
	error = tmem_client_set_caps(job.vm->tmem, job.persistent_max, job.ephemeral_max);
	if (error == -SLUICE_EAGAIN)
		return false;
	if (error)
		reply("guest \"%s\": its caps cannot be changed now (%d)", name, error);
	else
		reply("guest \"%s\": new caps", name);
	return true;
}

/* A guest that is half given back is in no state to be counted. */
static bool run_audit(void)
{
	if (guests_to_reap())
		return false;
	world_stop();
	if (audit_run() == 0)
		reply("audit: every frame is where it should be");
	world_resume();
	return true;
}

static void go_on(void)
{
	bool done = true;

	switch (job.kind) {
	case LIST_GUESTS:
		done = list_next();
		break;
	case SET_CAP:
		done = set_cap();
		break;
	case RUN_AUDIT:
		done = run_audit();
		break;
	}
	monitor_is_busy = !done;
}

/* ---- What is typed -------------------------------------------------------------------- */

static void enter(void)
{
	char entered[sizeof(line.text)], error[ERROR_MAX] = "it is too long; nothing was done";
	struct command command;

	if (uart_overruns() != overruns_seen) {
		overruns_seen = uart_overruns();
		if (rate_limit_ok(&complaints))
			reply("parts of the line were lost (%u times so far); nothing was done",
				overruns_seen);
		return;
	}
	memcpy(entered, line.text, sizeof(entered)); /* parsing cuts the line to words */
	if (!line.too_long && command_parse(line.text, &command, error, sizeof(error))) {
		complaints.total = 0;
		reply("> %s", entered);
		act(&command);
	} else if (rate_limit_ok(&complaints)) {
		reply("> %s", entered);
		reply("%s", error);
	}
}

/* True if that was a command: the rest waits for the next turn. */
static bool take(u8 byte)
{
	char shown[sizeof(line.text) + 2];

	switch (line_type(&line, byte)) {
	case LINE_ENTERED:
		log_show_typed("", 0);
		enter();
		line_clear(&line);
		return true;
	case LINE_CHANGED:
		memcpy(shown, "> ", 2);
		memcpy(shown + 2, line.text, line.length);
		log_show_typed(shown, line.length ? line.length + 2 : 0);
		return false;
	default:
		return false;
	}
}

static void give(char byte)
{
	bool to_uart = uart_guest_listens(attached) || !console_has_driver(attached);
	unsigned taken = to_uart ? uart_guest_input(attached, &byte, 1)
				 : console_input(attached, &byte, 1);

	refused += !taken;
}

void monitor_turn(void)
{
	int byte;

	if (!log_has_room())
		return;
	if (monitor_is_busy) {
		go_on();
		return;
	}
	while ((byte = log_read_typed()) >= 0) {
		if (!attached) {
			if (take((u8)byte))
				return;
		} else if (byte == DETACH) {
			detach();
		} else {
			give((char)byte);
		}
	}
}
