/*
 * Whole pages into a pack and out of it.
 */
#ifndef TMEM_PACK_PAGE_H
#define TMEM_PACK_PAGE_H

#include "lib/types.h"
#include "tmem/admission.h"
#include "tmem/pack.h"

/* Compresses a page, the hypervisor's own copy (such as tmem_port_scratch()->page), to
 * tmem_port_scratch()->fragment. Returns the length for pack_store(), or 0: it is not worth it, or
 * not tried. */
u32 page_compress(struct admission *admission, const void *page);

/* Fragment @id as a page again; uses tmem_port_scratch()->fragment. @page may be a guest's: nothing
 * is decided by what is read from it. 0, or -EINVAL: the fragment is damaged, and the page's
 * contents are undefined. */
int __must_check page_decompress(const struct pack *pack, u32 id, void *page);

#endif
