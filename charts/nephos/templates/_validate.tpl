{{/* What the schema cannot say. Every fault is told at once. */}}

{{- define "nephos.problems" -}}
{{- $values := .Values -}}
{{- $root := . -}}
{{- $distributed := eq $values.mode "distributed" -}}
{{- $bucket := hasPrefix "s3:" $values.store.url -}}
{{- if eq $values.api.authMode "local" }}
{{- else if not $values.api.allowPasswordless }}
- api.authMode {{ $values.api.authMode | quote }} checks no password: whoever reaches the API may do anything. Set api.authMode=local; or, if that is meant, set api.allowPasswordless=true and name who may connect in networkPolicy.peers.
{{- else if not (and $values.networkPolicy.enabled $values.networkPolicy.peers) }}
- api.allowPasswordless=true needs networkPolicy.enabled=true and at least one entry in networkPolicy.peers: nothing else keeps strangers out.
{{- end }}
{{- range $index, $peer := $values.networkPolicy.peers }}
{{- if $peer.ipBlock }}
{{- if hasSuffix "/0" $peer.ipBlock.cidr }}
- networkPolicy.peers[{{ $index }}] lets the whole network in: name a smaller block than {{ $peer.ipBlock.cidr }}.
{{- end }}
{{- else if and (hasKey $peer "namespaceSelector") (not $peer.namespaceSelector) (not $peer.podSelector) }}
- networkPolicy.peers[{{ $index }}] lets every pod of every namespace in: give its selectors labels.
{{- end }}
{{- end }}
{{- range $name, $about := fromYaml (include "nephos.credentials" .) }}
{{- $section := get $values $about.section }}
{{- if and $section.existingSecret (get $section $about.value) }}
- {{ $about.section }}.{{ $about.value }} and {{ $about.section }}.existingSecret cannot both be set.
{{- end }}
{{- if and (or $distributed (eq $about.section "s3")) (ne $name "state") (ne (include "nephos.given" (dict "root" $root "credential" $name)) "true") }}
- {{ ternary (printf "store.url=%s" $values.store.url) "mode=distributed" (eq $about.section "s3") }} needs {{ $about.section }}.existingSecret (or {{ $about.section }}.{{ $about.value }}).
{{- end }}
{{- end }}
{{- if and $bucket (hasPrefix "http:" $values.s3.endpoint) (not $values.s3.allowHttp) }}
- s3.endpoint {{ $values.s3.endpoint }} leaves measures unprotected on the network: use https, or set s3.allowHttp=true.
{{- end }}
{{- if $distributed }}
{{- if and (gt (int $values.collector.replicas) 1) (not $bucket) (not (and $values.store.shared $values.persistence.existingClaim)) }}
- collector.replicas={{ $values.collector.replicas }} needs a store all of them reach: store.url=s3://…, or a ReadWriteMany claim in persistence.existingClaim with store.shared=true.
{{- end }}
{{- if and $values.store.shared $bucket }}
- store.shared is for folders: a bucket is always shared.
{{- else if and $values.store.shared (not $values.persistence.existingClaim) }}
- store.shared=true needs persistence.existingClaim: claims made by this chart belong to one collector each.
{{- end }}
{{- range $section := list "api" "notificationAgent" }}
{{- $autoscaling := (get $values $section).autoscaling }}
{{- if and $autoscaling.enabled (gt (int $autoscaling.minReplicas) (int $autoscaling.maxReplicas)) }}
- {{ $section }}.autoscaling.minReplicas is larger than maxReplicas.
{{- end }}
{{- end }}
{{- end }}
{{- if and $values.persistence.existingClaim (not $values.persistence.enabled) }}
- persistence.existingClaim needs persistence.enabled=true.
{{- end }}
{{- if and $values.ingress.enabled (not $values.ingress.hosts) }}
- ingress.enabled=true needs at least one entry in ingress.hosts.
{{- end }}
{{- end -}}
