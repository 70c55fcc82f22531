# appended to nginx's objs/Makefile: an edited knock.lua is embedded anew

cat << END                                                    >> $NGX_MAKEFILE

$NGX_OBJS/ngx_http_knock_library.c:	$ngx_addon_dir/redis-schema/knock.lua \\
	$ngx_addon_dir/ngx_knock_module/embed.sh
	$ngx_addon_dir/ngx_knock_module/embed.sh \\
		$ngx_addon_dir/redis-schema/knock.lua > \$@.tmp
	mv \$@.tmp \$@

END
