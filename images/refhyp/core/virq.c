/* SPDX-License-Identifier: GPL-2.0-only */
/* INTIDs of the primary VM that no hardware has: 960 and 961 for the resource manager's queues, then wake-ups. */
#include "core/arch.h"
#include "core/object.h"
#include "core/vgic.h"

#define VIRQ_FIRST 962u
#define VIRQ_LOW   704u /* when the range up to 1019 is used up, numbers below 960 down to this */
#define VIRQ_FIXED 960u

static hyp_spinlock_t lock;
static uint32_t used[(INTID_END - VIRQ_LOW + 31) / 32];

void virq_init(void)
{
	for (unsigned int i = 0; i < sizeof(used) / sizeof(used[0]); i++)
		used[i] = 0;
}

static bool take(uint32_t intid)
{
	uint32_t *word = &used[(intid - VIRQ_LOW) / 32], bit = 1u << (intid - VIRQ_LOW) % 32;

	if (*word & bit || intid < arch_irq_end())
		return false;
	*word |= bit;
	return true;
}

uint32_t virq_alloc(void)
{
	uint32_t intid, found = 0;

	hyp_lock(&lock);
	for (intid = VIRQ_FIRST; !found && intid < INTID_END; intid++)
		found = take(intid) ? intid : 0;
	for (intid = VIRQ_FIXED - 1; !found && intid >= VIRQ_LOW; intid--)
		found = take(intid) ? intid : 0;
	hyp_unlock(&lock);
	return found;
}

void virq_free(uint32_t intid)
{
	if (intid < VIRQ_LOW || intid >= INTID_END)
		return;
	vgic_bind(hyp_primary(), intid, NULL);
	hyp_lock(&lock);
	used[(intid - VIRQ_LOW) / 32] &= ~(1u << (intid - VIRQ_LOW) % 32);
	hyp_unlock(&lock);
}
