/*
 * See hypercall.h. Linux calls errors as Sluice does, so its results can be returned and printed
 * (%pe) as they are.
 */
#define pr_fmt(format) KBUILD_MODNAME ": " format

#include "hypercall.h"

#include <linux/mm.h>
#include <linux/printk.h>
#include <linux/string.h>

#include <asm/cpufeature.h>
#include <asm/io.h>
#include <asm/processor.h>

#include <abi/cpuid.h>

/* VMCALL and VMMCALL exist on one vendor each. */
static bool use_vmmcall __ro_after_init;
static bool has_batch __ro_after_init;

int __init hypercall_init(void)
{
	u32 eax, ebx, ecx, edx;

	if (boot_cpu_has(X86_FEATURE_HYPERVISOR))
		cpuid(SLUICE_CPUID_SIGNATURE, &eax, &ebx, &ecx, &edx);
	else
		eax = ebx = ecx = edx = 0;
	if (ebx != SLUICE_SIGNATURE_EBX || ecx != SLUICE_SIGNATURE_ECX ||
		edx != SLUICE_SIGNATURE_EDX || eax < SLUICE_CPUID_FEATURES) {
		pr_err("this is no guest of Sluice: CPUID leaf 0x%x does not say so\n",
			SLUICE_CPUID_SIGNATURE);
		return -ENODEV;
	}
	cpuid(SLUICE_CPUID_FEATURES, &eax, &ebx, &ecx, &edx);
	if (eax != SLUICE_ABI_VERSION) {
		pr_err("Sluice has version %u of its hypercalls, this module is for %u\n", eax,
			SLUICE_ABI_VERSION);
		return -ENODEV;
	}
	if (!(ebx & SLUICE_FEATURE_TMEM)) {
		pr_err("Sluice gives this guest no tmem (its manifest says so)\n");
		return -ENODEV;
	}
	use_vmmcall = ecx == SLUICE_INSTRUCTION_VMMCALL;
	has_batch = ebx & SLUICE_FEATURE_TMEM_BATCH;
	return 0;
}

static long hypercall(u64 number, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	register u64 r10 asm("r10") = d;
	register u64 r8 asm("r8") = e;
	long result;

	if (use_vmmcall)
		asm volatile("vmmcall"
			     : "=a"(result)
			     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
			     : "memory");
	else
		asm volatile("vmcall"
			     : "=a"(result)
			     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
			     : "memory");
	return result;
}

long tmem_pool_new(u32 flags)
{
	return hypercall(HYPERCALL_TMEM_POOL_NEW, flags, 0, 0, 0, 0);
}

long tmem_pool_destroy(int pool)
{
	return hypercall(HYPERCALL_TMEM_POOL_DESTROY, (u32)pool, 0, 0, 0, 0);
}

static long page_call(u64 number, const struct tmem_key *key, u64 gfn)
{
	return hypercall(number, key->handle, key->object[0], key->object[1], key->object[2], gfn);
}

long tmem_put(const struct tmem_key *key, struct page *content)
{
	return page_call(HYPERCALL_TMEM_PUT, key, page_to_pfn(content));
}

long tmem_get(const struct tmem_key *key, struct page *content)
{
	return page_call(HYPERCALL_TMEM_GET, key, page_to_pfn(content));
}

void tmem_batch_set(
	struct tmem_batch_entry *entry, u32 op, const struct tmem_key *key, struct page *content)
{
	*entry = (struct tmem_batch_entry){
		.op = op,
		.handle = key->handle,
		.object = {key->object[0], key->object[1], key->object[2]},
		.gfn = content ? page_to_pfn(content) : 0,
	};
}

void tmem_batch(struct tmem_batch_entry *entries, unsigned int count)
{
	long done = 0;

	if (has_batch && count > 1)
		done = hypercall(HYPERCALL_TMEM_BATCH, virt_to_phys(entries), count, 0, 0, 0);
	/* What the hypervisor did not come to, and all if it refused. */
	for (unsigned int i = done > 0 ? done : 0; i < count; i++) {
		struct tmem_key key = {.handle = entries[i].handle};

		memcpy(key.object, entries[i].object, sizeof(key.object));
		entries[i].result = page_call(entries[i].op, &key, entries[i].gfn);
	}
}
