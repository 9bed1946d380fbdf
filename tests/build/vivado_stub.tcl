# A stand-in for Vivado that builds nothing: it checks and records the commands of a script.
#
#   tclsh vivado_stub.tcl LOG ROOT SCRIPT
#
# SCRIPT is run with the commands defined below, in vivado_stub_ip.tcl and in vivado_stub_design.tcl. An unknown command, an
# unknown option, a wrong number of arguments, a file or folder that is missing, a port that the top module lacks, or a step
# before the one it needs ends the run with an error. Every call is written to LOG, with ROOT replaced by <bundle>.
#
# Where the options come from: read_xdc, synth_design, opt_design, report_timing_summary, add_files, wait_on_run,
# create_project, make_wrapper, write_hw_platform, connect_bd_net, connect_bd_intf_net, apply_bd_automation and
# validate_bd_design were compared with AMD's UG835 (2020.2 to 2024.1), route_design, launch_runs and
# ipx::associate_bus_interfaces with quotations of Vivado's own help. The others are from knowledge of the tool: look an
# option up in UG835 before a script begins to use it.
#
# What it cannot tell: whether Vivado accepts the values, and what comes of them.

namespace eval stub {
    variable known {}          ;# command -> {options least most}; an option that takes a value ends in "="
    variable sources {}        ;# Verilog files
    variable constraints {}    ;# XDC files
    variable top ""
    variable part ""
    variable project ""        ;# folder
    variable ports {}          ;# port of the top module -> direction; one bit of a bus stands for all
    variable clocks {}
    variable design_is_open 0
    variable runs {synth_1 idle impl_1 idle}    ;# run -> idle, launched, complete
    variable more_options ""   ;# of synth_1
    variable properties {
        top target_language board_part ip_repo_paths USED_IN HD.CLK_SRC {STEPS.SYNTH_DESIGN.ARGS.MORE OPTIONS}
        LOC IOSTANDARD DRIVE SLEW PULLUP PULLDOWN PULLTYPE CFGBVS CONFIG_VOLTAGE INTERNAL_VREF
    }
    variable nets {}           ;# that a constraint has named
    variable located {}        ;# ports that have a place

    variable indent ""
}

# Defines one command. `body` sees `given` (option -> value) and `words` (the other arguments); its result is the command's.
proc stub::define {name options least most {body {}}} {
    variable known
    dict set known $name [list [concat $options {-quiet -verbose}] $least $most]
    namespace eval ::[namespace qualifiers $name] {}
    proc ::stub::[implementation $name] {given words} $body
    interp alias {} ::$name {} ::stub::call $name
}

proc stub::implementation {name} {
    return do_[string map {:: __} $name]
}

proc stub::call {name args} {
    variable log
    variable root
    variable indent
    lassign [parse $name $args] given words
    puts $log $indent$name[expr {$args eq "" ? "" : " "}][string map [list $root <bundle>] $args]
    return [[implementation $name] $given $words]
}

# Splits arguments into {options words}; an error names what the command does not know.
proc stub::parse {name arguments} {
    variable known
    lassign [dict get $known $name] options least most
    set given {}
    set words {}
    for {set i 0} {$i < [llength $arguments]} {incr i} {
        set word [lindex $arguments $i]
        if {![regexp {^-[a-z_]+$} $word]} {
            lappend words $word
        } elseif {"$word=" in $options} {
            if {[incr i] >= [llength $arguments]} {
                error "$name: option '$word' needs a value"
            }
            dict set given $word [lindex $arguments $i]
        } elseif {$word in $options} {
            dict set given $word 1
        } else {
            error "$name: unknown option '$word'"
        }
    }
    if {[llength $words] < $least || [llength $words] > $most} {
        error "$name: takes $least to $most arguments, not [llength $words]: $words"
    }
    return [list $given $words]
}

proc stub::need {condition message} {
    if {![uplevel 1 [list expr $condition]]} {
        error $message
    }
}

proc stub::need_file {command path} {
    need {[file isfile $path]} "$command: no such file: $path"
}

proc stub::need_folder_of {command path} {
    need {[file isdirectory [file dirname $path]]} "$command: no such folder: [file dirname $path]"
}

proc stub::need_design {command} {
    variable design_is_open
    need {$design_is_open} "$command: no open design"
}

proc stub::need_value {command option value allowed} {
    need {$value in $allowed} "$command: $option must be one of $allowed, not '$value'"
}

proc stub::need_part {command value} {
    need {[regexp {^xc(7[az]\d+s?t?i?[a-z]+\d+-[123]L?|(zu|vu)\d+[a-z]+-[a-z]+\d+-[123]L?V?-[ei])$} $value]} "$command: unknown part '$value'"
}

proc stub::read_text {path} {
    set channel [open $path]
    set text [read $channel]
    close $channel
    return $text
}

# From its name to its end; empty when it is not in the file.
proc stub::module_text {file name} {
    set text [read_text $file]
    if {![regexp -indices "\\mmodule\\s+$name\\M" $text place]} {
        return ""
    }
    set start [lindex $place 0]
    return [string range $text $start [string first endmodule $text $start]]
}

# Reads the ports of the top module, then runs the constraint files, as Vivado does when it elaborates the design.
proc stub::elaborate {command} {
    variable sources
    variable constraints
    variable top
    variable ports
    variable clocks {}
    variable indent
    set ports {}
    foreach file $sources {
        set pattern {\m(input|output)\M\s*(?:wire|reg)?\s*(\[[^\]]*\])?\s*(\w+)}
        foreach {- direction range port} [regexp -all -inline $pattern [module_text $file $top]] {
            dict set ports [expr {$range eq "" ? $port : "$port\[0\]"}] $direction
        }
    }
    variable nets {}
    need {[dict size $ports] > 0} "$command: module '$top' not found in the sources"
    foreach file $constraints {
        set indent "    "
        run_xdc $file
        set indent ""
    }
}

# XDC is a small part of Tcl: constraint commands, `set`, `list` and `expr`, no control flow.
proc stub::run_xdc {file} {
    set child [interp create -safe]
    foreach command [$child eval {info commands}] {
        if {$command ni {set list expr rename}} {
            $child eval [list rename $command {}]
        }
    }
    $child eval {rename rename {}}
    foreach command {create_clock set_property set_input_delay set_output_delay set_false_path get_ports get_clocks
            get_nets current_design get_iobanks} {
        interp alias $child $command {} ::stub::call $command
    }
    $child eval [read_text $file]
    interp delete $child
}

proc stub::need_direction {command names direction} {
    variable ports
    variable nets
    foreach name $names {
        need {$name in $nets || [dict get $ports $name] eq $direction} "$command: port '$name' is not an $direction"
    }
}

# --- sources and constraints

stub::define read_verilog {-library= -sv} 1 1 {
    foreach file [lindex $words 0] {
        stub::need_file read_verilog $file
        lappend ::stub::sources $file
    }
}
stub::define read_xdc {-cells= -ref= -quiet_diff_pairs -mode= -unmanaged -no_add} 1 1 {
    if {[dict exists $given -mode]} {
        stub::need_value read_xdc -mode [dict get $given -mode] {default out_of_context}
    }
    foreach file [lindex $words 0] {
        stub::need_file read_xdc $file
        lappend ::stub::constraints $file
    }
}

# --- the steps of a build in memory

stub::define synth_design {
    -name= -part= -constrset= -top= -include_dirs= -generic= -verilog_define= -flatten_hierarchy= -gated_clock_conversion=
    -directive= -rtl -bufg= -no_lc -shreg_min_size= -mode= -fsm_extraction= -rtl_skip_mlo -rtl_skip_ip -rtl_skip_constraints
    -srl_style= -keep_equivalent_registers -resource_sharing= -cascade_dsp= -control_set_opt_threshold= -max_bram= -max_uram=
    -max_dsp= -max_bram_cascade_height= -max_uram_cascade_height= -no_srlextract -assert -no_timing_driven -sfcu -debug_log
} 0 0 {
    foreach option {-part -top} {
        stub::need {[dict exists $given $option]} "synth_design: $option must be given"
    }
    stub::need_part synth_design [dict get $given -part]
    if {[dict exists $given -mode]} {
        stub::need_value synth_design -mode [dict get $given -mode] {default out_of_context}
    }
    set ::stub::top [dict get $given -top]
    stub::elaborate synth_design
    set ::stub::design_is_open 1
}
stub::define opt_design {
    -retarget -propconst -sweep -bram_power_opt -remap -aggressive_remap -resynth_remap -resynth_area -resynth_seq_area
    -directive= -muxf_remap -hier_fanout_limit= -bufg_opt -shift_register_opt -dsp_register_opt -srl_remap_modes=
    -control_set_merge -merge_equivalent_drivers -carry_remap -debug_log -property_opt_only
} 0 0 {
    stub::need_design opt_design
}
stub::define place_design {
    -directive= -no_timing_driven -timing_summary -unplace -post_place_opt -no_psip -no_bufg_opt
} 0 0 {
    stub::need_design place_design
}
stub::define phys_opt_design {
    -fanout_opt -placement_opt -routing_opt -slr_crossing_opt -rewire -insert_negative_edge_ffs -critical_cell_opt
    -dsp_register_opt -bram_register_opt -uram_register_opt -bram_enable_opt -shift_register_opt -hold_fix
    -aggressive_hold_fix -retime -force_replication_on_nets= -directive= -critical_pin_opt -clock_opt
} 0 0 {
    stub::need_design phys_opt_design
}
stub::define route_design {
    -unroute -release_memory -nets= -physical_nets -pins= -directive= -tns_cleanup -no_timing_driven -preserve -delay
    -auto_delay -max_delay= -min_delay= -timing_summary -finalize -ultrathreads
} 0 0 {
    stub::need_design route_design
}
stub::define write_checkpoint {-force -cell= -logic_function_stripped -encrypt -key= -incremental_synth} 1 1 {
    stub::need_design write_checkpoint
    stub::need_folder_of write_checkpoint [lindex $words 0]
}

# --- reports

stub::define report_utilization {
    -file= -append -pblocks= -evaluate_pblock -exclude_child_pblocks -exclude_non_assigned -cells= -return_string -slr
    -packthru -name= -no_primitives -omit_locs -hierarchical -spreadsheet_file= -spreadsheet_table= -spreadsheet_depth=
    -hierarchical_depth= -hierarchical_percentages -hierarchical_min_primitive_count=
} 0 0 {
    stub::need_design report_utilization
    stub::need_folder_of report_utilization [dict get $given -file]
}
stub::define report_timing_summary {
    -check_timing_verbose -delay_type= -no_detailed_paths -setup -hold -max_paths= -nworst= -unique_pins -path_type=
    -no_reused_label -input_pins -no_pr_attribute -routable_nets -slack_lesser_than= -report_unconstrained
    -significant_digits= -no_header -file= -append -name= -return_string -warn_on_violation -datasheet -cells= -rpx=
} 0 0 {
    stub::need_design report_timing_summary
    stub::need_folder_of report_timing_summary [dict get $given -file]
}
stub::define get_timing_paths {
    -from= -rise_from= -fall_from= -to= -rise_to= -fall_to= -through= -rise_through= -fall_through= -delay_type= -setup -hold
    -max_paths= -nworst= -unique_pins -slack_lesser_than= -slack_greater_than= -group= -no_report_unconstrained
    -user_ignored -routable_nets -sort_by= -filter= -regexp -nocase -cells=
} 0 0 {
    stub::need_design get_timing_paths
    return worst_path
}

# --- projects

stub::define create_project {-part= -force -in_memory -ip -rtl_kernel} 0 2 {
    stub::need {[dict exists $given -part]} "create_project: -part must be given"
    stub::need_part create_project [dict get $given -part]
    stub::need_folder_of create_project [lindex $words 1]
    stub::need {$::stub::project eq ""} "create_project: a project is open"
    file mkdir [lindex $words 1]
    set ::stub::part [dict get $given -part]
    set ::stub::project [lindex $words 1]
    foreach {name value} {sources {} constraints {} top {} runs {synth_1 idle impl_1 idle} design_is_open 0} {
        set ::stub::$name $value
    }
}
stub::define close_project {-delete} 0 0 {
    stub::need {$::stub::project ne ""} "close_project: no open project"
    set ::stub::project ""
}
stub::define current_project {} 0 1 {
    stub::need {$::stub::project ne ""} "current_project: no open project"
    return project
}
stub::define add_files {-fileset= -of_objects= -norecurse -copy_to= -force -scan_for_includes} 1 1 {
    stub::need {$::stub::project ne ""} "add_files: no open project"
    stub::need_value add_files -fileset [dict get $given -fileset] {sources_1 constrs_1}
    foreach file [lindex $words 0] {
        stub::need_file add_files $file
        lappend ::stub::[dict get {sources_1 sources constrs_1 constraints} [dict get $given -fileset]] $file
    }
}
stub::define get_files {-regexp -nocase -filter= -compile_order= -used_in= -references -all -of_objects= -norecurse} 0 1 {
    if {![dict exists $given -of_objects]} {
        set found [lsearch -all -inline $::stub::sources "*/[lindex $words 0]"]
        stub::need {[llength $found] == 1} "get_files: not one file is '[lindex $words 0]': $found"
        return $found
    }
    return [set ::stub::[dict get {sources_1 sources constrs_1 constraints} [dict get $given -of_objects]]]
}
stub::define get_filesets {-regexp -nocase -filter= -of_objects=} 0 1 {
    stub::need_value get_filesets name [lindex $words 0] {sources_1 constrs_1 sim_1}
    return [lindex $words 0]
}
stub::define update_compile_order {-force_gui -fileset=} 0 0
stub::define get_runs {-regexp -nocase -filter= -of_objects=} 0 1 {
    stub::need {[dict exists $::stub::runs [lindex $words 0]]} "get_runs: no run '[lindex $words 0]'"
    return [lindex $words 0]
}
stub::define launch_runs {
    -jobs= -scripts_only -lsf= -sge= -dir= -to_step= -next_step -host= -remote_cmd= -email_to= -email_all
    -pre_launch_script= -post_launch_script= -force
} 1 1 {
    set run [lindex $words 0]
    stub::need {[dict exists $::stub::runs $run]} "launch_runs: no run '$run'"
    if {$run eq "synth_1"} {
        lassign [stub::parse synth_design $::stub::more_options] more
        stub::elaborate launch_runs
    } else {
        stub::need {[dict get $::stub::runs synth_1] eq "complete"} "launch_runs: $run before synth_1 is complete"
    }
    dict set ::stub::runs $run launched
    if {[dict exists $given -to_step]} {
        stub::need_value launch_runs -to_step [dict get $given -to_step] {write_bitstream}
        stub::need {$run eq "impl_1"} "launch_runs: $run has no step write_bitstream"
        foreach port [expr {$::stub::design eq "" ? [dict keys $::stub::ports] : ""}] {
            stub::need {$port in $::stub::located} "launch_runs: port '$port' has no LOC, so there is no bitstream"
        }
        set folder [file join $::stub::project accelerator.runs $run]
        file mkdir $folder
        close [open [file join $folder $::stub::top.bit] w]
    }
}
stub::define wait_on_run {-timeout=} 1 1 {
    set run [lindex $words 0]
    stub::need {[dict get $::stub::runs $run] ne "idle"} "wait_on_run: $run has not been launched"
    dict set ::stub::runs $run complete
}
stub::define open_run {-name= -pr_config=} 1 1 {
    set run [lindex $words 0]
    stub::need {[dict get $::stub::runs $run] eq "complete"} "open_run: $run is not complete"
    set ::stub::design_is_open 1
}

# --- properties

stub::define set_property {-name= -value= -objects= -dict=} 0 3 {
    if {[dict exists $given -dict]} {
        foreach {name value} [dict get $given -dict] {
            stub::set_one $name $value [lindex $words 0]
        }
        return
    }
    set name [expr {[dict exists $given -name] ? [dict get $given -name] : [lindex $words 0]}]
    set value [expr {[dict exists $given -value] ? [dict get $given -value] : [lindex $words 1]}]
    set objects [expr {[dict exists $given -objects] ? [dict get $given -objects] : [lindex $words 2]}]
    stub::set_one $name $value $objects
}
proc stub::set_one {name value objects} {
    need {$objects ne ""} "set_property: no objects for '$name'"
    if {[string match /* $objects] && ![file exists [lindex $objects 0]]} {
        set_parameter $name $value $objects
        return
    }
    if {[string match ipx:* $objects]} {
        set_of_ip $name $value $objects
        return
    }
    need {$name in $::stub::properties} "set_property: unknown property '$name'"
    switch $name {
        top { set ::stub::top $value }
        LOC { lappend ::stub::located {*}$objects }
        ip_repo_paths { set ::stub::repositories $value }
        {STEPS.SYNTH_DESIGN.ARGS.MORE OPTIONS} { set ::stub::more_options $value }
    }
}
stub::define get_property {-min -max} 2 2 {
    set values [list PROGRESS 100% SLACK 1.234 DIRECTORY [file join $::stub::project accelerator.runs [lindex $words 1]]]
    stub::need {[dict exists $values [lindex $words 0]]} "get_property: unknown property '[lindex $words 0]'"
    stub::need {[lindex $words 1] ne ""} "get_property: no object"
    return [dict get $values [lindex $words 0]]
}

# --- constraints

stub::define get_ports {-regexp -nocase -filter= -of_objects= -match_style= -scoped_to_current_instance -no_traverse} 0 1 {
    set found {}
    foreach pattern [lindex $words 0] {
        set glob [string map {[ \\[ ] \\]} $pattern]
        set matching [dict keys $::stub::ports $glob]
        stub::need {[llength $matching] > 0} "get_ports: no port of the top module matches '$pattern'"
        lappend found {*}$matching
    }
    return $found
}
stub::define get_clocks {-regexp -nocase -filter= -of_objects= -match_style= -include_generated_clocks} 0 1 {
    stub::need {[lindex $words 0] in $::stub::clocks} "get_clocks: no clock '[lindex $words 0]'"
    return [lindex $words 0]
}
stub::define get_nets {
    -hierarchical -regexp -nocase -filter= -of_objects= -match_style= -top_net_of_hierarchical_group -segments
    -boundary_type= -no_traverse
} 0 1 {
    set name [lindex $words 0]
    set here [lsearch -all -inline -regexp [lmap file $::stub::sources {stub::read_text $file}] "\\m[file tail $name]\\M"]
    stub::need {[llength $here] > 0} "get_nets: no source has a net '$name'"
    lappend ::stub::nets $name
    return [list $name]
}
stub::define get_iobanks {-regexp -nocase -filter= -of_objects=} 0 1 {
    stub::need {[string is integer -strict [lindex $words 0]]} "get_iobanks: not a bank: '[lindex $words 0]'"
    return iobank_[lindex $words 0]
}
stub::define current_design {} 0 1 {
    return design
}
stub::define create_clock {-period= -name= -waveform= -add} 1 1 {
    stub::need {[dict get $given -period] > 0} "create_clock: -period must be positive"
    stub::need_direction create_clock [lindex $words 0] input
    lappend ::stub::clocks [dict get $given -name]
}
set delay_options {
    -clock= -reference_pin= -clock_fall -rise -fall -max -min -add_delay -network_latency_included -source_latency_included
}
stub::define set_input_delay $delay_options 2 2 {
    stub::need {[string is double -strict [lindex $words 0]]} "set_input_delay: not a number: [lindex $words 0]"
    stub::need_direction set_input_delay [lindex $words 1] input
}
stub::define set_output_delay $delay_options 2 2 {
    stub::need {[string is double -strict [lindex $words 0]]} "set_output_delay: not a number: [lindex $words 0]"
    stub::need_direction set_output_delay [lindex $words 1] output
}
unset delay_options
stub::define set_false_path {
    -setup -hold -rise -fall -reset_path -from= -rise_from= -fall_from= -to= -rise_to= -fall_to= -through= -rise_through=
    -fall_through=
} 0 0 {
    if {[dict exists $given -from]} {
        stub::need_direction set_false_path [dict get $given -from] input
    }
    if {[dict exists $given -to]} {
        stub::need_direction set_false_path [dict get $given -to] output
    }
}

# --- run the script

if {$argc != 3} {
    error "usage: tclsh vivado_stub.tcl LOG ROOT SCRIPT"
}
lassign $argv stub::log_path stub::root stub::script
source [file join [file dirname [info script]] vivado_stub_ip.tcl]
source [file join [file dirname [info script]] vivado_stub_design.tcl]
set stub::log [open $stub::log_path w]
fconfigure $stub::log -translation lf -encoding utf-8
set argv {}
set argc 0
source $stub::script
close $stub::log
