# The part of the stub that draws block designs. It knows the pins, interfaces and parameters of the IP below, refuses
# connections that do not fit, and finds what has been left open. From AMD's product guides as far as they are known by
# heart (PG021, PG085, PG099, PG164, PG247, UG585, UG1085): look a name up there before a script begins to use it.

namespace eval stub {
    variable design ""         ;# name of the open block design
    variable cells {}          ;# name -> ip
    variable parameters {}     ;# cell -> {parameter value ...}
    variable connected {}      ;# what a net reaches
    variable driven_by {}      ;# pin -> driver
    variable addresses 0
    variable wrapper ""
    variable catalog {}        ;# IP of the repositories: vlnv -> core
    variable width {8|16|32|64|128|256|512|1024}
    variable defaults {c_include_mm2s 1 c_include_s2mm 1}  ;# of conditions that are not 0 by themselves
    variable ip_cores {}       ;# vlnv -> {parameters, pins, interfaces}; "?" and a parameter: only if that is 1
}

dict set stub::ip_cores xilinx.com:ip:processing_system7 {
    parameters {
        PCW_USE_M_AXI_GP0 [01] PCW_USE_S_AXI_HP0 [01] PCW_S_AXI_HP0_DATA_WIDTH 32|64 PCW_USE_FABRIC_INTERRUPT [01]
        PCW_IRQ_F2P_INTR [01] PCW_EN_CLK0_PORT [01] PCW_EN_RST0_PORT [01] PCW_FPGA0_PERIPHERAL_FREQMHZ [0-9.]+
        PCW_CRYSTAL_PERIPHERAL_FREQMHZ [0-9.]+
    }
    pins {
        FCLK_CLK0 {output PCW_EN_CLK0_PORT} FCLK_RESET0_N {output PCW_EN_RST0_PORT} M_AXI_GP0_ACLK {input PCW_USE_M_AXI_GP0}
        S_AXI_HP0_ACLK {input PCW_USE_S_AXI_HP0} IRQ_F2P {input PCW_IRQ_F2P_INTR}
    }
    interfaces {
        M_AXI_GP0 {aximm master PCW_USE_M_AXI_GP0} S_AXI_HP0 {aximm slave PCW_USE_S_AXI_HP0} DDR {ddr master}
        FIXED_IO {io master}
    }
}
dict set stub::ip_cores xilinx.com:ip:zynq_ultra_ps_e {
    parameters {
        PSU__USE__M_AXI_GP0 [01] PSU__USE__M_AXI_GP1 [01] PSU__USE__M_AXI_GP2 [01] PSU__USE__S_AXI_GP2 [01]
        PSU__SAXIGP2__DATA_WIDTH 32|64|128 PSU__USE__IRQ0 [01] PSU__FPGA_PL0_ENABLE [01]
        PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ [0-9.]+
    }
    pins {
        pl_clk0 {output PSU__FPGA_PL0_ENABLE} pl_resetn0 output maxihpm0_fpd_aclk {input PSU__USE__M_AXI_GP0}
        maxihpm1_fpd_aclk {input PSU__USE__M_AXI_GP1} maxihpm0_lpd_aclk {input PSU__USE__M_AXI_GP2}
        saxihp0_fpd_aclk {input PSU__USE__S_AXI_GP2} pl_ps_irq0 {input PSU__USE__IRQ0}
    }
    interfaces {
        M_AXI_HPM0_FPD {aximm master PSU__USE__M_AXI_GP0} M_AXI_HPM1_FPD {aximm master PSU__USE__M_AXI_GP1}
        M_AXI_HPM0_LPD {aximm master PSU__USE__M_AXI_GP2} S_AXI_HP0_FPD {aximm slave PSU__USE__S_AXI_GP2}
    }
}
dict set stub::ip_cores xilinx.com:ip:axi_dma [string map [list WIDTH $stub::width] {
    parameters {
        c_include_sg [01] c_include_mm2s [01] c_include_s2mm [01] c_sg_include_stscntrl_strm [01] c_sg_length_width {8|9|1\d|2[0-6]} c_addr_width {3[2-9]|[45]\d|6[0-4]}
        c_m_axi_mm2s_data_width {32|64|128|256|512|1024} c_m_axis_mm2s_tdata_width {WIDTH}
        c_m_axi_s2mm_data_width {32|64|128|256|512|1024} c_s_axis_s2mm_tdata_width {WIDTH}
    }
    pins {
        s_axi_lite_aclk input axi_resetn input
        m_axi_mm2s_aclk {input c_include_mm2s} mm2s_introut {output c_include_mm2s}
        m_axi_s2mm_aclk {input c_include_s2mm} s2mm_introut {output c_include_s2mm}
        mm2s_prmry_reset_out_n {output c_include_mm2s optional} s2mm_prmry_reset_out_n {output c_include_s2mm optional}
    }
    interfaces {
        S_AXI_LITE {aximm slave} M_AXI_MM2S {aximm master c_include_mm2s} M_AXI_S2MM {aximm master c_include_s2mm}
        M_AXIS_MM2S {axis master c_include_mm2s} S_AXIS_S2MM {axis slave c_include_s2mm}
    }
}]
dict set stub::ip_cores xilinx.com:ip:smartconnect {
    parameters {NUM_SI {[1-9]|1[0-6]} NUM_MI {[1-9]|1[0-6]}} pins {aclk input aresetn input} interfaces {}
}
dict set stub::ip_cores xilinx.com:ip:proc_sys_reset {
    parameters {}
    pins {slowest_sync_clk input ext_reset_in input peripheral_aresetn output interconnect_aresetn {output optional}}
    interfaces {}
}
dict set stub::ip_cores xilinx.com:ip:xlconcat {parameters {NUM_PORTS {[1-9]|[1-9]\d}} pins {dout output} interfaces {}}
dict set stub::ip_cores xilinx.com:ip:axi_intc {
    parameters {C_IRQ_CONNECTION [01]}
    pins {s_axi_aclk input s_axi_aresetn input intr input irq output}
    interfaces {s_axi {aximm slave}}
}
dict set stub::ip_cores xilinx.com:ip:axis_dwidth_converter {
    parameters {
        S_TDATA_NUM_BYTES {[1-9]|[1-9]\d|[1-4]\d\d|50\d|51[0-2]} M_TDATA_NUM_BYTES {[1-9]|[1-9]\d|[1-4]\d\d|50\d|51[0-2]}
    }
    pins {aclk input aresetn input}
    interfaces {S_AXIS {axis slave} M_AXIS {axis master}}
}

proc stub::parameter {cell name {default ""}} {
    variable parameters
    return [expr {[dict exists $parameters $cell $name] ? [dict get $parameters $cell $name] : $default}]
}

# What a cell has with its parameters as they are: name -> {direction ...} or {kind mode ...}.
proc stub::members {cell what} {
    variable cells
    variable ip_cores
    variable catalog
    variable defaults
    set ip [dict get $cells $cell]
    if {[dict exists $catalog $ip]} {
        set core [dict get $catalog $ip]
        return [dict get $core [expr {$what eq "pins" ? "plain" : "interfaces"}]]
    }
    set found {}
    dict for {name description} [dict get $ip_cores $ip $what] {
        set condition [lindex $description [expr {$what eq "pins" ? 1 : 2}]]
        set default [expr {[dict exists $defaults $condition] ? [dict get $defaults $condition] : 0}]
        if {$condition in {"" optional} || [parameter $cell $condition $default] eq "1"} {
            dict set found $name $description
        }
    }
    if {$what eq "interfaces" && [string match *:smartconnect $ip]} {
        foreach {letter mode count} [list S slave [parameter $cell NUM_SI 1] M master [parameter $cell NUM_MI 1]] {
            for {set i 0} {$i < $count} {incr i} {
                dict set found [format %s%02d_AXI $letter $i] [list aximm $mode]
            }
        }
    }
    if {$what eq "pins" && [string match *:xlconcat $ip]} {
        for {set i 0} {$i < [parameter $cell NUM_PORTS 2]} {incr i} {
            dict set found In$i input
        }
    }
    return $found
}

proc stub::find_member {command what path} {
    variable cells
    lassign [split [string trimleft $path /] /] cell name
    need {[dict exists $cells $cell]} "$command: no cell '$cell'"
    set all [members $cell $what]
    need {[dict exists $all $name]} "$command: cell '$cell' ([dict get $cells $cell]) has no '$name'"
    return [dict get $all $name]
}

# Bits of a stream; "" where the stub does not know.
proc stub::stream_bits {path} {
    lassign [split [string trimleft $path /] /] cell name
    variable cells
    variable catalog
    set ip [dict get $cells $cell]
    if {[dict exists $catalog $ip]} {
        return [lindex [dict get $catalog $ip interfaces $name] 2]
    }
    switch -glob $ip/$name {
        */M_AXIS_MM2S { return [parameter $cell c_m_axis_mm2s_tdata_width 32] }
        */S_AXIS_S2MM { return [parameter $cell c_s_axis_s2mm_tdata_width 32] }
        *axis_dwidth_converter/* { return [expr {8 * [parameter $cell [string index $name 0]_TDATA_NUM_BYTES 1]}] }
    }
}

proc stub::set_parameter {name value cell} {
    variable cells
    variable parameters
    variable ip_cores
    set cell [string trimleft $cell /]
    set ip [dict get $cells $cell]
    need {[dict exists $ip_cores $ip]} "set_property: '$cell' ($ip) has no parameters"
    need {[string match CONFIG.* $name]} "set_property: a parameter of a cell begins with CONFIG., not '$name'"
    set name [string range $name 7 end]
    set known [dict get $ip_cores $ip parameters]
    need {[dict exists $known $name]} "set_property: $ip has no parameter '$name'"
    need {[regexp "^(?:[dict get $known $name])\$" $value]} "set_property: $ip: $name cannot be '$value'"
    dict set parameters $cell $name $value
}

proc stub::need_free {command path} {
    need {$path ni $::stub::connected} "$command: $path is connected already"
}

proc stub::need_design_open {command} {
    need {$::stub::design ne ""} "$command: no open block design"
}

# --- projects with IP

stub::define get_board_parts {-regexp -nocase -filter= -latest_file_version -latest_hw_revision} 0 1 {
    return [expr {[info exists ::env(STUB_BOARD_FILES)] ? "board_part" : ""}]
}
stub::define update_ip_catalog {-rebuild -add_ip= -delete_ip= -delete_mult_ip= -disable_ip= -enable_ip= -repo_path= -update_module_ref= -scan_changes} 0 0 {
    foreach folder $::stub::repositories {
        stub::need {[dict exists $::stub::packaged $folder]} "update_ip_catalog: no IP in $folder"
        set core [dict get $::stub::packaged $folder]
        dict with core {
            dict set ::stub::catalog $vendor:$library:$name:$version $core
        }
    }
}

# --- block designs

stub::define create_bd_design {-dir= -cell= -rdf_file= -mode= -bdsource=} 1 1 {
    stub::need {$::stub::project ne ""} "create_bd_design: no open project"
    set ::stub::design [lindex $words 0]
}
stub::define create_bd_cell {-reference= -type= -vlnv= -name= -srcset=} 0 1 {
    stub::need_design_open create_bd_cell
    stub::need_value create_bd_cell -type [dict get $given -type] {ip}
    set ip [dict get $given -vlnv]
    stub::need {[dict exists $::stub::ip_cores $ip] || [dict exists $::stub::catalog $ip]} "create_bd_cell: no IP '$ip'"
    stub::need {![dict exists $::stub::cells [lindex $words 0]]} "create_bd_cell: there is a '[lindex $words 0]' already"
    dict set ::stub::cells [lindex $words 0] $ip
    return /[lindex $words 0]
}
set of {-regexp -nocase -hierarchical -filter= -of_objects= -boundary_type=}
stub::define get_bd_cells $of 0 1 {
    stub::need {[dict exists $::stub::cells [lindex $words 0]]} "get_bd_cells: no cell '[lindex $words 0]'"
    return /[lindex $words 0]
}
stub::define get_bd_pins $of 0 1 {
    stub::find_member get_bd_pins pins [lindex $words 0]
    return /[lindex $words 0]
}
stub::define get_bd_intf_pins $of 0 1 {
    stub::find_member get_bd_intf_pins interfaces [lindex $words 0]
    return /[lindex $words 0]
}
unset of
stub::define apply_bd_automation {-rule= -config= -dict= -opts=} 1 1 {
    set cell [string trimleft [lindex $words 0] /]
    set name [lindex [split [dict get $::stub::cells $cell] :] 2]
    set known [dict get {
        processing_system7 {make_external apply_board_preset Master Slave} zynq_ultra_ps_e {apply_board_preset}
    } $name]
    stub::need {[dict get $given -rule] eq "xilinx.com:bd_rule:$name"} "apply_bd_automation: -rule does not fit $name"
    foreach key [dict keys [dict get $given -config]] {
        stub::need {$key in $known} "apply_bd_automation: unknown setting '$key'"
    }
    if {[dict exists $given -config make_external]} {
        foreach interface [split [dict get $given -config make_external] ", "] {
            if {$interface ne ""} {
                stub::find_member apply_bd_automation interfaces $cell/$interface
                lappend ::stub::connected /$cell/$interface
            }
        }
    }
}
stub::define connect_bd_intf_net {-intf_net= -boundary_type= -auto} 2 3 {
    lassign $words from to
    lassign [stub::find_member connect_bd_intf_net interfaces $from] kind mode
    lassign [stub::find_member connect_bd_intf_net interfaces $to] other_kind other_mode
    stub::need {$kind eq $other_kind} "connect_bd_intf_net: $from is $kind, $to is $other_kind"
    stub::need {[list $mode $other_mode] eq "master slave"} "connect_bd_intf_net: $from is a $mode, $to a $other_mode"
    foreach path $words {
        stub::need_free connect_bd_intf_net $path
        lappend ::stub::connected $path
    }
    if {$kind eq "axis"} {
        lassign [lmap path $words {stub::stream_bits $path}] bits other_bits
        stub::need {$bits == $other_bits} "connect_bd_intf_net: $from has $bits bits, $to has $other_bits"
    }
}
stub::define connect_bd_net {-net= -boundary_type=} 2 99 {
    set driver [lindex $words 0]
    set direction [lindex [stub::find_member connect_bd_net pins $driver] 0]
    stub::need {$direction eq "output"} "connect_bd_net: $driver does not drive"
    lappend ::stub::connected $driver
    foreach path [lrange $words 1 end] {
        stub::need {[lindex [stub::find_member connect_bd_net pins $path] 0] eq "input"} "connect_bd_net: $path is no input"
        stub::need_free connect_bd_net $path
        lappend ::stub::connected $path
    }
}
stub::define assign_bd_address {-target_address_space= -boundary -master_boundary -external -dict= -offset= -range= -import_from_file= -export_to_file= -export_gui_to_file= -force} 0 1 {
    stub::need_design_open assign_bd_address
    set ::stub::addresses 1
}
stub::define validate_bd_design {-force -design= -include_pfm -steps= -assign_dfx_addressing -limit=} 0 0 {
    stub::need_design_open validate_bd_design
    stub::need {$::stub::addresses} "validate_bd_design: no addresses have been assigned"
    foreach cell [dict keys $::stub::cells] {
        foreach what {pins interfaces} {
            dict for {name description} [stub::members $cell $what] {
                set optional [expr {"optional" in $description}]
                stub::need {$optional || "/$cell/$name" in $::stub::connected} "validate_bd_design: $cell/$name is open"
            }
        }
        foreach way {mm2s s2mm} stream {c_m_axis_mm2s_tdata_width c_s_axis_s2mm_tdata_width} {
            set memory [stub::parameter $cell c_m_axi_${way}_data_width 1024]
            stub::need {[stub::parameter $cell $stream 0] <= $memory} "validate_bd_design: $cell: $stream above $memory bits"
        }
    }
}
stub::define save_bd_design {} 0 1 {
    stub::need_design_open save_bd_design
    lappend ::stub::sources [file join $::stub::project accelerator.srcs sources_1 bd $::stub::design $::stub::design.bd]
}
stub::define make_wrapper {-top -testbench -inst_template -fileset= -import -force} 1 1 {
    stub::need {[string match *.bd [lindex $words 0 0]]} "make_wrapper: not a block design: '[lindex $words 0]'"
    set file [file join $::stub::project ${::stub::design}_wrapper.v]
    set channel [open $file w]
    puts $channel "module ${::stub::design}_wrapper(io);\n  output io;\nendmodule"
    close $channel
    set ::stub::sources [list $file]
}
stub::define generate_target {-force} 2 2 {
    set folder [file join $::stub::project accelerator.gen sources_1 bd $::stub::design hw_handoff]
    file mkdir $folder
    close [open [file join $folder $::stub::design.hwh] w]
}
stub::define write_hw_platform {-fixed -force -include_bit -include_sim_content -minimal -hw -hw_emu -rp= -rm= -static} 0 1 {
    stub::need {[dict get $::stub::runs impl_1] eq "complete"} "write_hw_platform: impl_1 is not complete"
    stub::need_folder_of write_hw_platform [lindex $words 0]
    stub::need {[string match *.xsa [lindex $words 0]]} "write_hw_platform: the name must end in .xsa"
}
