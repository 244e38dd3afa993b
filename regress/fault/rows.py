"""
rows.py: the fault catalogue's rows and the tests that hold each. A test is
named by its file below regress/ and its function; a unit program by its file.
test_rows.py checks that every row is here and every test exists and names
its row.
"""
STORE = "fault/test_t_store.py::"
ENGINE = "fault/test_t_engine.py::"
DISK = "fault/test_t_disk.py::"
PROCESS = "fault/test_t_process.py::"
START = "fault/test_t_start.py::"
RANDOM = "fault/test_t_random.py::test_t38_random_faults"
KILL = "durable/test_kill.py::test_kill"

ROWS = {
    "T01": [PROCESS + "test_t01_front_killed", KILL,
            "http/test_api.py::test_front_killed"],
    "T02": [PROCESS + "test_t02_worker_killed", KILL],
    "T03": [PROCESS + "test_t03_parent_killed", KILL],
    "T04": [PROCESS + "test_t04_everything_killed", KILL],
    "T05": [PROCESS + "test_t05_worker_out_of_memory",
            PROCESS + "test_t05_front_out_of_memory",
            PROCESS + "test_t05_parent_out_of_memory", KILL],
    "T06": [PROCESS + "test_t06_stopped_children",
            PROCESS + "test_t06_parent_stopped"],
    "T07": ["hostile/test_child.py::test_hostile_api",
            "hostile/test_child.py::test_hostile_worker"],
    "T08": [PROCESS + "test_t08_crash_loop"],
    "T09": [STORE + "test_t09_postgres_stops",
            STORE + "test_t09_nobody_waits_for_ever"],
    "T10": [STORE + "test_t10_cut_after_commit",
            STORE + "test_t10_release_is_not_lost"],
    "T11": [START + "test_t11_failover"],
    "T12": [STORE + "test_t12_conflicts", STORE + "test_t12_errors",
            STORE + "test_t12_error_of_the_connection"],
    "T13": [STORE + "test_t13_slow", STORE + "test_t13_half_open",
            STORE + "test_t13_list_gives_up",
            PROCESS + "test_t13_list_gives_up"],
    "T14": [STORE + "test_t14_no_notify"],
    "T15": [START + "test_t15_newer_schema_is_refused",
            START + "test_t15_two_migrators"],
    "T16": [START + "test_t16_old_backup"],
    "T17": [STORE + "test_t17_disk_full", DISK + "test_t17_database"],
    "T18": [ENGINE + "test_t18_engine_stopped"],
    "T19": [ENGINE + "test_t19_engine_killed"],
    "T20": [ENGINE + "test_t20_hangs_while_making",
            ENGINE + "test_t20_remove_hangs",
            "engine/test_docker.py::test_engine_hangs"],
    "T21": [ENGINE + "test_t21_wrong_answers",
            ENGINE + "test_t21_image_is_missing", ENGINE + "test_t21_late",
            "engine/test_docker.py::test_fault_while_making"],
    "T22": [ENGINE + "test_t22_endless_head",
            "engine/test_docker.py::test_fault_while_making",
            "stream/test_stream_hostile.py::test_bad_heads_of_docker"],
    "T23": [ENGINE + "test_t23_third_party",
            PROCESS + "test_t23_paused", ENGINE + "test_t23_image_deleted"],
    "T24": [ENGINE + "test_t24_stream_breaks"],
    "T25": [START + "test_t25_state_directory_full",
            DISK + "test_t25_artifacts", DISK + "test_t25_state_directory"],
    "T26": [PROCESS + "test_t26_no_descriptors",
            "http/test_framing.py::test_all_connections"],
    "T27": [PROCESS + "test_t27_no_memory"],
    "T28": [PROCESS + "test_t28_signals_and_full_buffers"],
    "T29": [PROCESS + "test_t29_clock_steps"],
    "T30": ["config/test_reload.py::test_under_load",
            "config/test_reload.py::test_invalid_file_changes_nothing",
            "config/test_reload.py::test_keys"],
    "T31": [PROCESS + "test_t31_sigquit_is_at_once",
            "durable/test_stop.py::test_stop_drains",
            "durable/test_stop.py::test_second_sigterm_is_at_once",
            "durable/test_stop.py::test_drain_timeout"],
    "T32": ["unit/migrate.c"],
    "T33": [START + "test_t33_second_takod_is_refused"],
    "T34": [START + "test_t34_what_a_socket_may_be"],
    "T35": [START + "test_t35_takoctl_cut",
            "ctl/test_ctl.py::test_the_group_may_and_others_may_not",
            "ctl/test_ctl.py::test_a_client_that_is_no_takoctl",
            "ctl/test_ctl.py::test_too_many_clients"],
    "T36": [START + "test_t36_log_is_not_read",
            START + "test_t36_log_is_gone", DISK + "test_t36_log_file",
            DISK + "test_t36_log_volume_full"],
    "T37": [START + "test_t37_long_queue", PROCESS + "test_t37_poison_job"],
    "T38": [RANDOM],
}
