/* Objects in memory, sorted by key: the contract at its shortest, for tests of everything above storage.
 * Opened by storage_open_memory() of storage.h; the objects go with the storage.
 */
#pragma once

#include "storage/storage.h"
