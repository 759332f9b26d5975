int parley_platform_unused;
