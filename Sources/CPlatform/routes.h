#pragma once

// Marks what is ours among the kernel's rules, routes and addresses, as routing daemons have numbers of their own
// (rtnetlink(7)); the kernel does not act on it.
#define PARLEY_ROUTE_PROTOCOL 220

// IFA_PROTO, which came with Linux 5.18 and with later headers. Older kernels neither keep nor tell it.
#define PARLEY_ADDRESS_PROTOCOL 11
