/* The extension's settings, as the server knows them: bkp.stale_after. */
#pragma once

extern int setting_stale_after_s; /* 0: nothing is ever stale */
