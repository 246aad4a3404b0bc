/* The shape of a virtio-blk request: see blk_request.h. */
#include "kernel/virtio/blk_request.h"

#define SECTOR_BYTES 512u

static bool take_header(struct virtq_chain *chain, struct blk_layout *layout)
{
	u32 left = sizeof(struct blk_header);

	layout->header_parts = 0;
	for (unsigned i = 0; i < chain->readable && left > 0; i++) {
		struct virtq_buffer *buffer = &chain->buffers[i];
		u32 bytes = MIN(buffer->bytes, left);

		if (bytes == 0)
			continue;
		layout->header[layout->header_parts++] = (struct virtq_buffer){
			buffer->address, bytes};
		buffer->address += bytes;
		buffer->bytes -= bytes;
		left -= bytes;
	}
	return left == 0;
}

static bool take_status(struct virtq_chain *chain, struct blk_layout *layout)
{
	for (unsigned i = chain->count; i > chain->readable; i--) {
		struct virtq_buffer *buffer = &chain->buffers[i - 1];

		if (buffer->bytes == 0)
			continue;
		buffer->bytes--;
		layout->status = buffer->address + buffer->bytes;
		return true;
	}
	return false;
}

bool blk_split(struct virtq_chain *chain, struct blk_layout *layout)
{
	if (!take_header(chain, layout) || !take_status(chain, layout))
		return false;
	layout->out_bytes = layout->in_bytes = 0;
	for (unsigned i = 0; i < chain->count; i++)
		if (i < chain->readable)
			layout->out_bytes += chain->buffers[i].bytes;
		else
			layout->in_bytes += chain->buffers[i].bytes;
	return true;
}

/* Whole sectors inside the disk. */
static bool range_is_valid(u64 sector, u64 bytes, u64 sectors)
{
	return bytes > 0 && bytes % SECTOR_BYTES == 0 && sector <= sectors &&
	       bytes / SECTOR_BYTES <= sectors - sector;
}

u8 blk_check(const struct blk_header *header, const struct blk_layout *layout, u64 sectors,
	bool read_only)
{
	switch (header->type) {
	case BLK_T_IN:
		return range_is_valid(header->sector, layout->in_bytes, sectors) ? BLK_S_OK
										 : BLK_S_IOERR;
	case BLK_T_OUT:
		return !read_only && range_is_valid(header->sector, layout->out_bytes, sectors)
			       ? BLK_S_OK
			       : BLK_S_IOERR;
	case BLK_T_FLUSH:
		return BLK_S_OK;
	case BLK_T_GET_ID:
		return layout->in_bytes >= BLK_ID_BYTES ? BLK_S_OK : BLK_S_IOERR;
	default:
		return BLK_S_UNSUPP;
	}
}
