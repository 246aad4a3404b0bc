/*
 * The hosted compiler keeps vector registers across calls as its ABI says, so nothing is to be
 * saved; the real ones are tried on the machine itself (tests/machine/compress.c).
 */
void arch_vectors_save(void *state);
void arch_vectors_load(const void *state);

void arch_vectors_save(void *state)
{
	(void)state;
}

void arch_vectors_load(const void *state)
{
	(void)state;
}
