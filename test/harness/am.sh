# am.sh -- the access methods, for tests in bash that run once for each; sourced. TAP tests: t/Vecpg.pm.

AMS="ivf hnsw"

# am_all AM: the setting by which a scan reads everything.
am_all()
{
	case $1 in
		ivf) echo "ivf.probes = 1000000" ;;
		hnsw) echo "hnsw.ef_search = 100000" ;;
	esac
}
