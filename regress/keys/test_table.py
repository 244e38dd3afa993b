"""
The table of keys: which test sees the effect of each, not that it is stored.
A key that is missing here, and a test that is missing there, are failures.
"""
import ast
import json
import os
import subprocess

import pytest

from lib import shared

IN = "keys/test_containers.py::"
NETS = "hostile/test_networks.py::"
OF = "keys/test_daemon.py::"
BY = "keys/test_document.py::"
SHARED = "contract/test_shared_code.py::"
PACKAGES = "packages/test_packages.py::"
LATER = "contract/test_refused.py::"

KEYS = {
    "production_mode": [OF + "test_unknown_types_in_production",
                        BY + "test_production_knows_its_types_alone"],
    "log_level": ["contract/test_log.py::test_level",
                  "config/test_reload.py::test_sighup",
                  BY + "test_production_logs_less"],
    "server_host": ["config/test_reload.py::test_other_addresses_under_load",
                    BY + "test_full_from_elsewhere"],
    "server_port": ["config/test_reload.py::test_another_port"],
    "allow_unauthenticated_network_access": [OF + "test_served_without_keys"],
    "api_max_payload_bytes": [OF + "test_size_of_a_body",
                              "http/test_api.py::test_payload_too_large"],
    "api_auth_enabled": [OF + "test_keys_and_their_header",
                         "http/test_api.py::test_keys_and_rate"],
    "api_keys": ["http/test_api.py::test_keys_and_rate",
                 "config/test_reload.py::test_keys"],
    "api_auth_header": [OF + "test_keys_and_their_header"],
    "api_rate_limit_enabled": [OF + "test_rate"],
    "api_rate_limit_requests": [OF + "test_rate"],
    "api_rate_limit_window_seconds": [OF + "test_rate"],
    "max_retry_attempts": [OF + "test_attempts_and_delays"],
    "retry_base_delay": [OF + "test_attempts_and_delays"],
    "queue_wait_timeout": [OF + "test_look_at_the_queue"],
    "data_dir": [OF + "test_data", "engine/test_oci.py::"
                 "test_folders_are_private"],
    "database_url": [OF + "test_data",
                     "store/test_retention.py::test_old_records_go"],
    "seccomp_profile_path": [OF + "test_system_call_profile",
                             "engine/test_oci.py::"
                             "test_named_profile_is_used"],
    "max_workers": [OF + "test_places_and_queue"],
    "max_queue_size": [OF + "test_places_and_queue"],
    "max_stdout_bytes": [IN + "test_output_is_cut",
                         "endings/test_output.py::test_much_on_stdout"],
    "max_stderr_bytes": [IN + "test_output_is_cut",
                         "endings/test_output.py::test_both_streams_at_once"],
    "max_artifact_bytes": [IN + "test_artifacts_are_capped",
                           "endings/test_output.py::"
                           "test_artifact_over_the_cap"],
    "max_total_artifacts_bytes": [IN + "test_artifacts_are_capped"],
    "max_input_bytes": [OF + "test_size_of_input"],
    "max_code_bytes": [OF + "test_size_of_code"],
    "default_timeout": [OF + "test_time_of_who_names_none"],
    "max_timeout": [OF + "test_ceilings", BY + "test_production_times"],
    "default_startup_timeout": [OF + "test_time_of_a_start"],
    "max_startup_timeout": [OF + "test_ceilings"],
    "execution_record_ttl_days": ["store/test_retention.py::"
                                  "test_old_records_go"],
    "docker_image": [OF + "test_image_and_socket_of_docker"],
    "enable_seccomp": [OF + "test_switches"],
    "enable_cap_restrictions": [
        OF + "test_switches",
        IN + "test_capabilities_that_a_program_could_get",
        "contract/test_surroundings.py::test_no_capabilities"],
    "enable_userns": [OF + "test_switches", IN + "test_user_namespace",
                      IN + "test_ids_seen_from_the_host"],
    "container_runtime": ["contract/test_surroundings.py::"
                          "test_runtime_is_the_one_recorded"],
    "security_mode": ["contract/test_runtime.py::"
                      "test_strict_without_gvisor_does_not_start",
                      "contract/test_runtime.py::"
                      "test_permissive_falls_back_loudly"],
    "container_limits.nofile_soft": [IN + "test_limits_of_a_process",
                                     "contract/test_code.py::"
                                     "test_number_of_files"],
    "container_limits.nofile_hard": [IN + "test_limits_of_a_process"],
    "container_limits.nproc_soft": [IN + "test_limits_of_a_process"],
    "container_limits.nproc_hard": [IN + "test_limits_of_a_process"],
    "container_limits.fsize": [IN + "test_limits_of_a_process",
                               IN + "test_largest_file"],
    "container_limits.tmpfs_size": [IN + "test_size_of_tmp",
                                    "contract/test_code.py::"
                                    "test_size_of_tmp"],
    "container_limits.pids_limit": [IN + "test_ids_seen_from_the_host",
                                    "contract/test_code.py::"
                                    "test_number_of_processes",
                                    BY + "test_production_jobs_do_not_die"],
    "job_types.name": [IN + "test_environment",
                       BY + "test_production_knows_its_types_alone"],
    "job_types.python_version": ["engine/test_pythons.py::test_of_debian",
                                 "engine/test_pythons.py::test_in_docker"],
    "job_types.base_image": [OF + "test_root_file_systems",
                             OF + "test_image_and_socket_of_docker"],
    "job_types.shared_code": [SHARED + "test_what_a_job_sees",
                              SHARED + "test_copy_of_a_moment"],
    "job_types.environment": [IN + "test_environment",
                              "contract/test_code.py::"
                              "test_environment_of_the_job_type"],
    "job_types.memory_limit": [IN + "test_memory",
                               IN + "test_ids_seen_from_the_host"],
    "job_types.cpu_limit": [IN + "test_ids_seen_from_the_host",
                            "contract/test_code.py::"
                            "test_share_of_the_processor"],
    "job_types.timeout": [IN + "test_time_of_the_type"],
    "job_types.network_enabled": [NETS + "test_public"],
    "job_types.allowed_hosts": [NETS + "test_allowed_hosts",
                                NETS + "test_listed_addresses"],
    "network_allow": [NETS + "test_public"],
    "network_deny": [NETS + "test_denied"],
    "job_types.startup_timeout": [OF + "test_time_of_a_start"],
    "job_types.gpu.enabled": [LATER + "test_refused"],
    "job_types.gpu.vendor": [LATER + "test_refused",
                             "engine/test_docker.py::test_gpu_of_amd"],
    "job_types.gpu.count": ["engine/test_oci.py::test_gpu"],
    "job_types.gpu.device_ids": ["engine/test_oci.py::test_gpu"],
    "job_types.preload": ["contract/test_preload.py::test_is_imported_ahead"],
    "job_types.warm_pool_size": [IN + "test_slots_kept_ready",
                                 OF + "test_ready_slots"],
    "engine": ["engine/test_docker.py::test_life",
               OF + "test_image_and_socket_of_docker",
               BY + "test_full_runs_jobs"],
    "docker_host": [OF + "test_image_and_socket_of_docker",
                    "config/test_doctor.py::test_docker_socket_missing"],
    "runsc_path": ["contract/test_runtime.py::"
                   "test_permissive_falls_back_loudly"],
    "runsc_args": [OF + "test_arguments_of_gvisor"],
    "runc_path": [OF + "test_runtime_and_its_arguments"],
    "runc_args": [OF + "test_runtime_and_its_arguments"],
    "rootfs": [OF + "test_root_file_systems"],
    "warm_pool_idle_seconds": ["contract/test_warm.py::"
                               "test_follow_what_is_asked_for"],
    "warm_pool_size": [OF + "test_ready_slots"],
    "api_user": [OF + "test_users"],
    "worker_user": [OF + "test_users"],
    "uid_base": [OF + "test_users"],
    "control_socket": [OF + "test_control_socket"],
    "control_group": ["ctl/test_ctl.py::"
                      "test_the_group_may_and_others_may_not"],
    "log_format": ["contract/test_log.py::test_json"],
    "require_landlock": ["privs/test_landlock.py::test_no_landlock"],
    "drain_timeout": ["durable/test_stop.py::test_drain_timeout"],
    "node_name": ["nodes/test_nodes.py::test_nodes_listed",
                  "nodes/test_cut.py::test_same_name"],
    "lease_seconds": ["nodes/test_cut.py::test_cut_off",
                      "nodes/test_nodes.py::test_node_killed"],
    "artifact_store": ["artifacts/test_store.py::test_changed_store"],
    **{"s3_" + key: ["artifacts/test_store.py::test_what_s3_is_asked"]
       for key in ("endpoint", "bucket", "region", "prefix",
                   "credentials_file")},
    "tenant_defaults": ["fair/test_fair.py::test_defaults"],
    "budget_window_seconds": ["fair/test_fair.py::test_budgets"],
    "priority_ageing_seconds": ["fair/test_fair.py::test_ageing"],
    "dlq_ttl_days": ["jobs/test_faults.py::test_old_letters_go"],
    "api_hostnames": [OF + "test_names_for_local_clients"],
    "api_max_connections": [OF + "test_connections"],
    "api_max_connections_per_source": [OF + "test_connections"],
    "api_header_timeout": [OF + "test_patience"],
    "api_body_timeout": [OF + "test_patience"],
    "api_idle_timeout": [OF + "test_patience"],
    "api_min_rate_bytes": ["http/test_hostile.py::test_slow_body"],
    "api_pipeline_depth": ["http/test_hostile.py::test_pipeline"],
    "api_max_request_line_bytes": ["http/test_hostile.py::test_size_of_a_head"],
    "api_max_header_bytes": ["http/test_hostile.py::test_size_of_a_head"],
    "api_max_header_fields": ["http/test_hostile.py::test_size_of_a_head"],
    "api_max_memory_bytes": ["http/test_hostile.py::test_memory_for_all"],
    "server_listen": ["http/test_listen.py::test_several", "http/test_listen.py::test_path", "http/test_listen.py::test_systemd"],
    "trusted_proxies": ["http/test_proxy.py::test_rate_and_log", "http/test_proxy.py::test_proxy_protocol"],
    "tls_certificate_file": ["http/test_tls.py::test_versions", "http/test_tls.py::test_reload"],
    "tls_key_file": ["http/test_tls.py::test_reload"],
    "cors_origins": ["http/test_cors.py::test_listed", "http/test_cors.py::test_others"],
    "api_key_files": ["http/test_access.py::test_key_files", "http/test_access.py::test_rotation"],
    "api_auth_failures": ["http/test_access.py::test_guesses"],
    "allow_runtime_requirements": [LATER + "test_packages_of_a_request",
                                   PACKAGES + "test_request"],
    "dependency_proxy_url": [PACKAGES + "test_proxy"],
    "enable_runtime_dependency_cache": [PACKAGES + "test_kept_if_wanted"],
    "job_types.requirements": [PACKAGES + "test_build"],
    "package_index_url": [PACKAGES + "test_request"],
    "package_extra_index_urls": [PACKAGES + "test_further_index"],
    "package_hosts": [PACKAGES + "test_files_elsewhere"],
    "package_netrc_file": [PACKAGES + "test_private_index"],
    "package_certificates_file": [PACKAGES + "test_certificates"],
    "package_pip_wheel": [PACKAGES + "test_pip"],
    "package_source_builds": [PACKAGES + "test_source_builds"],
    "layer_max_bytes": [PACKAGES + "test_row_d06_d07_dependency_error"],
    "layer_timeout": [PACKAGES + "test_row_d07_index_that_hangs"],
    "layer_cache_bytes": [PACKAGES + "test_kept_while_there_is_room"],
    "api_write_timeout": [OF + "test_patience_with_a_reader",
                          "http/test_framing.py::test_h41_slow_reader"],
}

# What takod does not have yet, how it takes the key now, and which test sees
# that: the rest is as if the key were not there, or is refused.
AS_IF_NOT = "accepted, and without effect: there is nothing yet that has it"
LATER_KEYS = {
    **{key: (AS_IF_NOT, "test_sessions") for key in (
        "sessions_enabled", "session_idle_timeout_seconds",
        "session_max_ttl_seconds", "session_max_concurrent",
        "job_types.session_enabled")},
}
KEYS.update((key, [LATER + test]) for key, (_, test) in LATER_KEYS.items())


def names(value, before=""):
    """Dotted names of all keys of what tako-vm config prints."""
    for key, inner in value.items():
        if key in ("container_limits", "gpu"):
            yield from names(inner, before + key + ".")
        elif key == "job_types":
            yield from names(inner[0], before + key + ".")
        else:
            yield before + key


def test_every_key_stands_here(tmp_path):
    (tmp_path / "x.yaml").write_text("job_types: [{name: mine}]\n")
    done = subprocess.run(
        [shared.program("tako-vm"), "config", "--json", "--show-defaults",
         "-c", "x.yaml"], cwd=tmp_path, env={"HOME": str(tmp_path)},
        capture_output=True, text=True, check=True)
    there = set(names(json.loads(done.stdout)))
    assert there - set(KEYS) == set(), "no test sees these"
    assert set(KEYS) - there == set(), "no such keys"


def functions_of(path):
    with open(os.path.join(shared.TOP, "regress", path)) as file:
        tree = ast.parse(file.read())
    return {node.name for node in tree.body
            if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("key", KEYS)
def test_its_tests_are_there(key):
    assert KEYS[key]
    for test in KEYS[key]:
        path, name = test.split("::")
        assert name.startswith("test_") and name in functions_of(path), test
