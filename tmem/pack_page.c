/*
 * Pages through the compressor (tmem/pack_page.h).
 */
#include "tmem/pack_page.h"

#include "tmem/port.h"

u32 page_compress(struct admission *admission, const void *page)
{
	u32 length;

	if (!admission_try(admission))
		return 0;
	length = tmem_port_compress(tmem_port_scratch()->fragment, page, PACK_LENGTH_MAX);
	admission_note(admission, length != 0);
	return length;
}

int page_decompress(const struct pack *pack, u32 id, void *page)
{
	u32 length;
	const void *fragment = pack_contents(pack, id, tmem_port_scratch()->fragment, &length);

	return tmem_port_decompress(page, fragment, length);
}
