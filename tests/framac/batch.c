/*
 * The bounds of a batch (batch() in kernel/vm/hypercall.c): whatever address and count a guest
 * gives, entries are read and written within one page that memory_page() answered for.
 */
#include "tests/framac/port.h"

#include SOURCE

static char page[PAGE_SIZE] __attribute__((aligned(4096)));
static struct vm vm;
static struct vcpu vcpu;

void *memory_page(struct vm *owner, gfn_t frame)
{
	(void)owner;
	(void)frame;
	return Frama_C_interval(0, 1) ? page : NULL;
}
bool memory_lacks_frame(const struct vm *owner, gfn_t frame)
{
	(void)owner, (void)frame;
	return Frama_C_interval(0, 1) == 1;
}
void memory_wait(struct vcpu *waiting)
{
	(void)waiting;
}
int tmem_put(struct tmem_client *client, const struct tmem_handle *handle, const void *data)
{
	(void)client, (void)handle, (void)data;
	return Frama_C_interval(-4095, 0);
}
int tmem_get(struct tmem_client *client, const struct tmem_handle *handle, void *data)
{
	(void)client, (void)handle, (void)data;
	return Frama_C_interval(-4095, 0);
}
int tmem_flush_page(struct tmem_client *client, const struct tmem_handle *handle)
{
	(void)client, (void)handle;
	return Frama_C_interval(-4095, 0);
}

int main(void)
{
	vcpu.vm = &vm;
	vcpu.regs[RDI] = Frama_C_unsigned_long_interval(0, ~0UL);
	vcpu.regs[RSI] = Frama_C_unsigned_long_interval(0, ~0UL);
	return (int)batch(&vcpu);
}
