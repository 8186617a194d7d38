/* SPDX-License-Identifier: MIT */
#include "engine/vm_bitmaps.h"

#include "disk/bitmap_live.h"

int gw_vm_map_bitmaps(struct gw_vm *vm, const struct gw_bitmap_alias *aliases, size_t count, struct gw_error *err)
{
    struct gw_bitmap_map *map = NULL;
    int r = aliases ? gw_bitmap_map_new(aliases, count, &map, err) : 0;

    if (r < 0)
        return r;
    pthread_mutex_lock(&vm->lock);
    gw_bitmap_map_free(vm->bitmap_map);
    vm->bitmap_map = map;
    pthread_mutex_unlock(&vm->lock);
    return 0;
}

bool gw_vm_for_each_bitmap_alias(struct gw_vm *vm, void (*f)(void *opaque, const struct gw_bitmap_alias *alias), void *opaque)
{
    const struct gw_bitmap_alias *alias;
    struct gw_bitmap_map *map;
    bool is;

    pthread_mutex_lock(&vm->lock);
    map = gw_bitmap_map_share(vm->bitmap_map);
    pthread_mutex_unlock(&vm->lock);
    is = map != NULL;
    for (size_t i = 0; is && (alias = gw_bitmap_map_at(map, i)); i++)
        f(opaque, alias);
    gw_bitmap_map_free(map);
    return is;
}

static bool gone(void *opaque)
{
    return gw_vm_place(opaque) != GW_VM_HERE;
}

int gw_vm_bitmap_section(struct gw_vm *vm, bool send, struct gw_live **ret, struct gw_error *err)
{
    struct gw_bitmap_live_config config = {.disks = vm->disk, .disk_count = vm->disk_count, .gone = gone, .opaque = vm};
    int r;

    if (vm->image)
        return 0;
    if (send && !vm->bitmap_section_id)
        vm->bitmap_section_id = gw_registry_take_id(vm->registry);
    config.section_id = vm->bitmap_section_id;
    pthread_mutex_lock(&vm->lock);
    config.map = gw_bitmap_map_share(vm->bitmap_map);
    pthread_mutex_unlock(&vm->lock);
    r = gw_bitmap_live_new(&config, ret, err);
    gw_bitmap_map_free(config.map); /* the section has a copy of its own */
    return r;
}

void gw_vm_begin_bitmaps(struct gw_vm *vm)
{
    for (unsigned i = 0; i < vm->disk_count; i++)
        gw_disk_bitmaps_begin(vm->disk[i]);
}

void gw_vm_stand_bitmaps(struct gw_vm *vm)
{
    for (unsigned i = 0; i < vm->disk_count; i++)
        gw_disk_bitmaps_stand(vm->disk[i]);
}
