/*
 * Hypercalls and console output of the small test guests.
 */
#include "guest.h"

uint64_t ram_end(const struct start_info *info)
{
	const struct memory_map_entry *map = (const void *)(uintptr_t)info->memory_map;
	uint64_t end = 0;

	for (uint32_t i = 0; i < info->memory_map_entries; i++)
		if (map[i].type == 1 && map[i].address + map[i].bytes > end)
			end = map[i].address + map[i].bytes;
	return end;
}

bool guest_on_sluice(void)
{
	struct cpuid_result r = cpuid(SLUICE_CPUID_SIGNATURE, 0);

	return r.ebx == SLUICE_SIGNATURE_EBX && r.ecx == SLUICE_SIGNATURE_ECX &&
	       r.edx == SLUICE_SIGNATURE_EDX && r.eax >= SLUICE_CPUID_FEATURES &&
	       cpuid(SLUICE_CPUID_FEATURES, 0).eax == SLUICE_ABI_VERSION;
}

bool guest_uses_vmmcall(void)
{
	static int8_t known; /* 0: not asked yet, 1: VMCALL, 2: VMMCALL */

	if (known == 0)
		known = cpuid(SLUICE_CPUID_FEATURES, 0).ecx == SLUICE_INSTRUCTION_VMMCALL ? 2 : 1;
	return known == 2;
}

int64_t hypercall6(
	uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	register uint64_t r10 __asm__("r10") = d;
	register uint64_t r8 __asm__("r8") = e;
	register uint64_t r9 __asm__("r9") = f;
	int64_t result;

	if (guest_uses_vmmcall())
		__asm__ volatile("vmmcall"
				 : "=a"(result)
				 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
				 : "memory");
	else
		__asm__ volatile("vmcall"
				 : "=a"(result)
				 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
				 : "memory");
	return result;
}

void *memset(void *to, int value, size_t bytes)
{
	void *start = to;

	__asm__ volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(value) : "memory");
	return start;
}

void *memcpy(void *to, const void *from, size_t bytes)
{
	void *start = to;

	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
	return start;
}

static void console(const char *bytes, uint64_t count)
{
	/* What the console does not take is dropped and counted by the hypervisor. */
	(void)hypercall2(HYPERCALL_CONSOLE_WRITE, (uintptr_t)bytes, count);
}

static unsigned length(const char *text)
{
	unsigned n = 0;

	while (text[n])
		n++;
	return n;
}

void print(const char *text)
{
	console(text, length(text));
}

/* Writes @value in decimal so that it ends before @end; returns where it begins. */
static char *decimal(char *end, uint64_t value)
{
	do {
		*--end = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	return end;
}

void print_number(uint64_t value)
{
	char digits[20], *first = decimal(digits + sizeof(digits), value);

	console(first, (uint64_t)(digits + sizeof(digits) - first));
}

void print_value(const char *name, uint64_t value)
{
	char line[96], digits[20], *first = decimal(digits + sizeof(digits), value);
	unsigned n = length(name), count = (unsigned)(digits + sizeof(digits) - first);

	if (n > sizeof(line) - sizeof(digits) - 2)
		n = sizeof(line) - sizeof(digits) - 2;
	memcpy(line, name, n);
	line[n++] = '=';
	memcpy(line + n, first, count);
	n += count;
	line[n++] = '\n';
	console(line, n);
}

void guest_shutdown(uint64_t reason)
{
	for (;;)
		hypercall1(HYPERCALL_SHUTDOWN, reason);
}
