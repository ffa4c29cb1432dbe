# shellcheck shell=bash
# nginx as an S3 server that does not limit: WebDAV for objects, S3Sink.pm for listings and uploads in parts, TLS. It
# checks no signature and no checksum, and makes nothing durable. Sourced by bench.sh.
#
#   sink_start        sets sink_port; objects lie in $work/sink/root
#   sink_requests     how many requests it has answered so far
#   sink_stop

sink_configuration() {
	cat <<-END
		load_module /usr/lib/nginx/modules/ngx_http_perl_module.so;
		worker_processes 2;
		pid $work/sink/pid;
		error_log $work/sink/error.log warn;
		events { worker_connections 1024; }
		http {
			perl_modules $top/bench;
			perl_require S3Sink.pm;
			log_format requests '\$request_method \$status \$request_length \$bytes_sent \$request_uri';
			access_log $work/sink/access.log requests;
			default_type application/octet-stream;
			sendfile on;
			tcp_nopush on;
			tcp_nodelay on;
			keepalive_requests 1000000;
			keepalive_timeout 300s;
			client_max_body_size 0;
			client_body_buffer_size 1m;
			client_body_temp_path $work/sink/temporary;
			proxy_temp_path $work/sink/p;
			fastcgi_temp_path $work/sink/f;
			uwsgi_temp_path $work/sink/u;
			scgi_temp_path $work/sink/s;
			ssl_session_cache shared:tls:1m;
			server {
				listen 127.0.0.1:$sink_port ssl;
				ssl_certificate $tls/server.crt;
				ssl_certificate_key $tls/server.key;
				root $work/sink/root;
				set \$taken "";
				if (-f \$document_root\$uri) { set \$taken \$http_if_none_match; }
				if (\$taken = "*") { return 412; }
				set \$absent "";
				if (!-f \$document_root\$uri) { set \$absent \$request_method; }
				if (\$absent = DELETE) { return 204; }
				if (\$request_method = POST) { rewrite ^(.*)\$ /-post\$1 last; }
				if (\$arg_uploadid) { rewrite ^ /-upload/\$arg_uploadid/\$arg_partnumber? last; }
				error_page 404 /-missing;
				location = /-missing { return 404 "<Error><Code>NoSuchKey</Code></Error>"; }
				location /-post/ { perl S3Sink::post; }
				location ~ ^/[^/]+/?\$ { perl S3Sink::list; }
				location / {
					dav_methods PUT DELETE;
					create_full_put_path on;
					dav_access user:rw;
					add_header ETag '"\$request_id"';
				}
			}
		}
	END
}

sink_start() {
	sink_port=$(port_free)
	mkdir -p "$work"/sink/{root,temporary}
	sink_configuration >"$work/sink/nginx.conf"
	nginx -c "$work/sink/nginx.conf" -e "$work/sink/error.log"
}

sink_stop() {
	[ ! -s "$work/sink/pid" ] || kill "$(cat "$work/sink/pid")" || true
}

sink_requests() { wc -l <"$work/sink/access.log"; }
