#!/bin/sh
# Make the cluster's certificates and kubeconfigs, and hand each service what it needs, and nothing else.
# The authorities' keys stay in /cluster, which nobody else mounts; the controller manager signs with one.
set -eu
umask 022

kplane init --data-dir /cluster \
  --control-plane-endpoint "$KPLANE_ENDPOINT" \
  --apiserver-cert-extra-sans "$KPLANE_API_NAMES" \
  --etcd-servers "$KPLANE_ETCD_SERVERS" \
  --service-cidr "$KPLANE_SERVICE_CIDR" >/dev/null

# give SERVICE USER FILE…: copies that only this user can read.
give() {
  service=$1 user=$2
  shift 2
  for file; do
    mkdir -p "/for/$service/$(dirname "$file")"
    cp --remove-destination "/cluster/$file" "/for/$service/$file"
    chmod 0400 "/for/$service/$file"
    chown "$user:$user" "/for/$service/$file"
  done
}

# own FOLDER USER: a volume that this user writes.
own() {
  [ "$(stat -c %u "$1")" = 0 ] || return 0
  chmod 0700 "$1"
  chown "$2:$2" "$1"
}

give etcd 10001 pki/etcd/ca.crt pki/etcd/server.crt pki/etcd/server.key pki/etcd/peer.crt pki/etcd/peer.key
give apiserver 10002 \
  pki/ca.crt pki/apiserver.crt pki/apiserver.key pki/sa.pub pki/sa.key \
  pki/etcd/ca.crt pki/apiserver-etcd-client.crt pki/apiserver-etcd-client.key \
  pki/apiserver-kubelet-client.crt pki/apiserver-kubelet-client.key \
  pki/front-proxy-ca.crt pki/front-proxy-client.crt pki/front-proxy-client.key
give scheduler 10003 \
  scheduler.conf pki/ca.crt pki/kube-scheduler-serving.crt pki/kube-scheduler-serving.key
give controller-manager 10004 \
  controller-manager.conf pki/ca.crt pki/ca.key pki/sa.key \
  pki/kube-controller-manager-serving.crt pki/kube-controller-manager-serving.key
give metrics-server 10006 \
  metrics-server.conf pki/metrics-server-serving.crt pki/metrics-server-serving.key pki/ca.crt \
  pki/front-proxy-ca.crt
give admin 10005 admin.conf super-admin.conf

own /for/etcd-data 10001
own /for/join 10005
