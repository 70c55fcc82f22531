# Builds the module of ceiling (c) in nginx's configured tree, as nginx builds
# a dynamic module.

include objs/Makefile

%/ngx_http_bench_read_module.so: $(SOURCE)
	$(CC) $(CFLAGS) -fPIC -shared $(ALL_INCS) -o $@.new $<
	mv $@.new $@
