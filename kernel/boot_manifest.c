/*
 * The manifest as a boot module: its errors go to the log, its [machine] table to the core.
 */
#include "kernel/boot_manifest.h"

#include <string.h>

#include "arch/x86/arch.h"
#include "kernel/core/bug.h"
#include "kernel/core/frame.h"
#include "kernel/core/log.h"

static struct manifest manifest;

static void report(void *argument, unsigned line, const char *message)
{
	(void)argument;
	log_error(MANIFEST_MODULE ":%u: %s", line, message);
}

static const struct boot_module *find(void)
{
	const struct boot_info *boot = boot_info();

	for (unsigned i = 0; i < boot->module_count; i++)
		if (strcmp(boot->modules[i].name, MANIFEST_MODULE) == 0)
			return &boot->modules[i];
	log_error("no manifest: GRUB loaded %u module%s, none of them named \"" MANIFEST_MODULE
		  "\" (module2 /boot/sluice.toml sluice.toml)",
		boot->module_count, boot->module_count == 1 ? "" : "s");
	return NULL;
}

static void apply(const struct machine_config *machine)
{
	log_configure(machine->log_level, machine->console != CONSOLE_RING);
	bug_set_reboot(machine->on_bug == WHEN_DONE_REBOOT);
	if (machine->reserve)
		frames_set_reserve(machine->reserve);
}

const struct manifest *boot_manifest_load(void)
{
	const struct boot_module *module = find();
	unsigned errors;
	bool fatal;

	if (!module)
		return NULL;
	errors = manifest_parse(
		hpa_to_ptr(module->start), module->bytes, &manifest, &fatal, report, NULL);
	if (errors)
		log_error(MANIFEST_MODULE ": %u error%s", errors, errors == 1 ? "" : "s");
	if (fatal)
		return NULL;
	if (manifest.guest_count == 0) {
		log_error(MANIFEST_MODULE ": no [[guest]]: nothing to run");
		return NULL;
	}
	apply(&manifest.machine);
	return &manifest;
}
